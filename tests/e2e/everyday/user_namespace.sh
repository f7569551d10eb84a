#!/bin/bash
# A user namespace of its own. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
grep -q ^containers: /etc/subuid || echo containers:1000000:200000 | tee -a /etc/subuid >> /etc/subgid
$run --rm --userns=auto:size=70000 $image sh -c 'exec 2>&1
    id; while read -r in out size; do echo $in $size; done < /proc/self/uid_map; touch /x; stat -c "%u %g" /x /dev/null
    mknod /y b 254 0; echo 1 > /proc/sys/kernel/domainname; cat /proc/self/setgroups; tail -n 1 /etc/hosts | wc -l'
mkdir -m 700 closed; echo inside > closed/file; chmod 644 closed/file; mkdir -m 755 closed/folder; echo below > closed/folder/file
$run --rm --userns=auto:size=70000 -v $dir/closed/file:/file:ro -v $dir/closed/folder:/there/folder --tmpfs /scratch $image sh -c 'exec 2>&1
    cat /file /there/folder/file; echo x > /file; touch /there/folder/new; touch /scratch/new && ls /scratch
    while read -r _ at kind flags _; do case $at in /file|/there*|/scratch) echo $at $kind $flags;; esac; done < /proc/mounts | sort'
find /tmp/runvf-* /var/tmp/runvf-* /run/runvf-shelf/* -maxdepth 0 2> /dev/null | wc -l
