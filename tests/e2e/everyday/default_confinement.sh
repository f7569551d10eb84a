#!/bin/bash
# The confinement of a container, by default. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
$wired --rm $image sh -c 'exec 2>&1
    id; cd /proc/self; cat status > /tmp/s
    while read -r key value; do case $key in Cap*|NoNewPrivs:|Seccomp:|Seccomp_filters:|Groups:|SigIgn:|SigBlk:) echo $key $value;; esac; done < /tmp/s
    cat attr/current oom_score_adj limits
    while read -r _ at kind flags _; do case $at in /|/etc/*) ;; *) echo $at $kind $flags;; esac; done < mounts | sort
    for f in /dev/*; do [ -L $f ] && echo $f $(readlink $f) || stat -c "%n %F %a %t %T %u %g" $f; done
    for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/uevent_seqnum; do echo x > $f; done
    cat /proc/kcore /proc/timer_list | wc -c; ls /proc/acpi /sys/firmware | wc -l
    chmod 777 /proc/self/attr 2> /dev/null || echo refused
    for n in cgroup ipc mnt net pid user uts; do [ -e ns/$n ] && echo $n; done'
