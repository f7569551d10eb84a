#!/bin/bash
# Seccomp and AppArmor profiles. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
echo '{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 }] }' > profile
$run --rm --security-opt seccomp=$dir/profile $image sh -c 'exec 2>&1; mkdir /tmp/x; ls -d /tmp/x'
$run --rm --security-opt seccomp=unconfined --security-opt apparmor=unconfined $image sh -c '
    cat /proc/self/attr/current; while read -r key value; do case $key in Seccomp*) echo $key $value;; esac; done < /proc/self/status'
