#!/bin/bash
# An init process. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
$run --rm --init $image sh -c '
    read -r _ name _ < /proc/1/stat; echo $name; sh -c "sleep 0.1 &"
    until [ $(ls -d /proc/[0-9]* 2> /dev/null | wc -l) = 4 ]; do :; done; echo reaped'
