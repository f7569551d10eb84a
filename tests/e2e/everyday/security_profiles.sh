#!/bin/bash
# Seccomp and AppArmor profiles. See preamble.sh.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086
echo '{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 }] }' > profile
$run --rm --security-opt seccomp=$dir/profile $image sh -c 'exec 2>&1; mkdir /tmp/x; ls -d /tmp/x'
# The mask of a comparison is its first value.
echo '{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    { "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
        "args": [{ "index": 1, "value": 511, "valueTwo": 448, "op": "SCMP_CMP_MASKED_EQ" }] },
    { "names": ["mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
        "args": [{ "index": 2, "value": 511, "valueTwo": 448, "op": "SCMP_CMP_MASKED_EQ" }] }] }' > masked
$run --rm --security-opt seccomp=$dir/masked $image sh -c 'exec 2>&1; mkdir -m 700 /tmp/a; mkdir -m 755 /tmp/b; ls -d /tmp/a /tmp/b'
# A profile that is older than some system calls, or forbids them, although the runtime uses them.
echo '{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["faccessat2", "accept", "accept4"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }] }' > old
for options in '--user 1000' '--user 0 --security-opt no-new-privileges'; do
    $run -d --name everyday $options --security-opt seccomp=$dir/old $image sleep 1000 > /dev/null
    try $engine exec everyday sh -c 'echo added; while read -r key value; do case $key in Cap*|NoNewPrivs:|Seccomp*) echo $key $value;; esac; done < /proc/self/status'
    $engine exec everyday cat /proc/1/status | grep -e ^Cap -e ^NoNewPrivs -e ^Seccomp
    remove
done
# A list of allowed calls that is older than faccessat2, openat2, close_range and clone3.
names='access arch_prctl brk capget capset chdir clock_gettime clock_nanosleep clone close dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait
    execve exit exit_group fchdir fchown fcntl fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getpgrp getpid getppid
    getrandom getresgid getresuid gettid getuid ioctl kill lseek lstat mmap mprotect munmap nanosleep newfstatat open openat
    pipe pipe2 poll prctl pread64 prlimit64 read readlink rt_sigaction rt_sigprocmask rt_sigreturn set_robust_list
    set_tid_address setgid setgroups setresgid setresuid setsid setuid sigaltstack stat statfs tgkill uname wait4 write'
names=$(printf '%s ' $names)
printf '{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": ["%s"], "action": "SCMP_ACT_ALLOW" }] }' "$(sed 's/ $//; s/ /", "/g' <<< "$names")" > list
for options in '--user 0' '--user 1000 --security-opt no-new-privileges --workdir /usr'; do
    $run -d --name everyday $options --security-opt seccomp=$dir/list $image sh -c 'echo listed; exec sleep 1000' > /dev/null
    try $engine exec everyday sh -c 'echo listed too; while read -r key value; do case $key in Cap*|NoNewPrivs:|Seccomp*) echo $key $value;; esac; done < /proc/self/status'
    wait_for eval "$engine logs everyday | grep -q listed"; $engine logs everyday
    remove
done
$run --rm --security-opt seccomp=unconfined --security-opt apparmor=unconfined $image sh -c '
    cat /proc/self/attr/current; while read -r key value; do case $key in Seccomp*) echo $key $value;; esac; done < /proc/self/status'
