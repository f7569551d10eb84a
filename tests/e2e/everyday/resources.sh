#!/bin/bash
# Limits, as the files of the cgroup have them: from options, from names of files, after a change and after a reload of
# systemd; and an init process that has divided its cgroup. See preamble.sh. The table calls the functions, because all
# of them together take minutes.
# The shell splits the variables that are command lines:
# shellcheck disable=SC2154,SC2086,SC2329
files() {  # FILES OPTIONS…
    names=$1
    shift
    try $run --rm "$@" $image sh -c "cd /sys/fs/cgroup && cat $names" 2> /dev/null
}

options() {
    files "memory.max memory.swap.max memory.low cpuset.cpus cpuset.mems cpu.max" --memory 64m --memory-swap 64m \
        --memory-reservation 32m --cpuset-cpus 0 --cpuset-mems 0 --cpu-period 50000 --cpu-quota 25000
    files "memory.swap.max pids.max" --memory 64m --memory-swap 128m --pids-limit 0
    files "pids.max io.max" --pids-limit -1 --device-read-bps /dev/vda:1048576 --device-write-iops /dev/vda:100
}

options_and_weight() {
    options
    files io.weight --blkio-weight 500
}

divided() {  # CONTROL
    $run -d --name everyday --privileged --memory 64m --pids-limit 0 $image sh -c \
        'cd /sys/fs/cgroup; mkdir i; echo 1 > i/cgroup.procs; echo +pids > cgroup.subtree_control; exec sleep 1000' > /dev/null
    cgroup=/sys/fs/cgroup$(sed -n s/^0:://p "/proc/$(of everyday .State.Pid)/cgroup")
    cgroup=${cgroup%/i}
    # An exec before that would be in the way.
    wait_for grep -q pids "$cgroup/cgroup.subtree_control"
    try $1 exec everyday cat /proc/self/cgroup
    $1 update --pids-limit 66 everyday > /dev/null
    cat "$cgroup/pids.max" "$cgroup/memory.max"
    systemctl daemon-reload
    cat "$cgroup/pids.max" "$cgroup/memory.max"
    # As `remove` in preamble.sh, for both cgroup drivers.
    if [ $engine = podman ]; then $1 rm -f -t 0 everyday; else docker rm -f everyday; fi > /dev/null
    wait_for test ! -e "$cgroup"
}

by_name() {
    # Alone: after a change of other memory limits, systemd resets this one at about the time when runc sets it.
    files memory.oom.group --cgroup-conf=memory.oom.group=1
    files "memory.swap.max cpu.max cpuset.cpus" --cgroup-conf=memory.swap.max=0 \
        --cgroup-conf="cpu.max=50000 100000" --cgroup-conf=cpuset.cpus=0
    files "cpu.max pids.max" --cgroup-conf="cpu.max=max 100000" --cgroup-conf=pids.max=max
    files cpu.max --cgroup-conf=nosuch.max=1
}

# Podman's other cgroup driver.
with_cgroupfs() {
    run="podman --cgroup-manager cgroupfs${run#podman}"
    "$@"
}
