#!/bin/bash
# Counts what would grow if containers left something. dockerd leaves an empty file in `/run/docker/netns`, at the place
# of a namespace, if its runtime is killed: for 28 of 65 kills of runc it did.
echo network namespaces: "$(readlink /proc/[0-9]*/ns/net 2> /dev/null | sort -u | wc -l)"
echo named namespaces: "$(findmnt -rn -t nsfs | wc -l)" "$(find /run/netns -mindepth 1 2> /dev/null | wc -l)"
echo mounts: "$(findmnt -rn | wc -l)"
echo processes of containers: "$(pgrep -cx 'runvf|runvf-hook|conmon|containerd-shim|crun|sleep|cat')"
echo processes named by runvf: "$(pgrep -c '^runvf')"
echo cgroups: "$(find /sys/fs/cgroup -type d | grep -cE 'docker-|libpod|bare_|podman')"
echo files in /run/runvf: "$(find /run/runvf -type f ! -name '*.lock' ! -name '.*' 2> /dev/null | wc -l)"
echo directories in /run/runvf: "$(find /run/runvf/containers -mindepth 1 2> /dev/null | wc -l)"
echo containers: "$(docker ps -aq | wc -l)" "$(podman ps -aq | wc -l)" "$(runvf list -q | wc -l)"
echo interfaces: "$(find /sys/class/net -mindepth 1 -printf '%f\n' | grep -vE '^(docker0|podman0)$' | sort | xargs)"
