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
    # A health check that runs before the division delays it.
    $run -d --name everyday --privileged --memory 64m --pids-limit 0 --health-cmd 'cat /proc/self/cgroup > /checked' \
        --health-interval 3s $image sh -c 'cd /sys/fs/cgroup; mkdir i; echo 1 > i/cgroup.procs
            until echo +pids > cgroup.subtree_control; do sleep 0.1; done 2> /dev/null; exec sleep 1000' > /dev/null
    cgroup=/sys/fs/cgroup$(sed -n s/^0:://p "/proc/$(of everyday .State.Pid)/cgroup")
    cgroup=${cgroup%/i}
    # An exec before that would be in the way.
    wait_for grep -q pids "$cgroup/cgroup.subtree_control"
    try $1 exec everyday cat /proc/self/cgroup
    $1 exec everyday rm -f /checked
    wait_for $1 exec everyday test -s /checked
    wait_for says everyday .State.Health.Status healthy
    $1 exec everyday cat /checked
    for limit in 66 0 77; do
        $1 update --pids-limit $limit everyday > /dev/null
        cat "$cgroup/pids.max" "$cgroup/memory.max"
    done
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
