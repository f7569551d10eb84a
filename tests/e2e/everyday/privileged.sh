#!/bin/bash
# A privileged container. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
$run --rm --privileged $image sh -c '
    while read -r key value; do case $key in Cap*|NoNewPrivs:|Seccomp:) echo $key $value;; esac; done < /proc/self/status
    head -c 16 /dev/vda | wc -c; echo 1 > /proc/sys/kernel/domainname && echo written
    while read -r _ at kind flags _; do case $at in /proc*|/sys*) echo $at $kind $flags;; esac; done < /proc/mounts | sort'
