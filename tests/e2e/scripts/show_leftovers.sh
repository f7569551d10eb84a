#!/bin/bash
# Prints what the counts of leftovers.sh consist of.
pgrep -a .
findmnt -rn
find /sys/fs/cgroup -type d | grep -E 'docker-|libpod|bare_|podman' | while read -r cgroup; do
    echo "$cgroup"
    cat "$cgroup/cgroup.procs"
done
ls -A /run/netns
journalctl -q --no-pager -u docker | grep -iE 'cgroup|clean' | tail -n 20
