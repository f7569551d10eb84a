#!/bin/bash
# After escapes.sh: a process of the container looks into the process that exec adds, before that process is the
# container's. strace delays the system calls between the join and execve(2).
: "${runtime:?}"
copy_root
mkdir /tmp/e/root/perl
cp /usr/bin/perl /tmp/watch.pl /tmp/e/root/perl
write_config '.process.args = ["sleep", "1000"]'
run joined
program=$(readlink "/proc/$("$runtime" state joined | jq .pid)/exe")
for calls in setns,execve,execveat capset,setresuid,setgroups,close_range,chdir; do
    rm -f /tmp/e/watch
    "$runtime" exec joined /perl/perl /perl/watch.pl "$program" < /dev/null > /tmp/e/watch 2>&1 &
    until grep -qs watching /tmp/e/watch; do sleep 0.1; done
    timeout 60 strace -f --seccomp-bpf -o /dev/null -e "trace=$calls" -e "inject=$calls:delay_enter=50000" \
        "$runtime" exec joined sleep 3 < /dev/null > /dev/null 2>&1
    wait $!
    cat /tmp/e/watch
done
"$runtime" delete -f joined
rm -rf /tmp/e
