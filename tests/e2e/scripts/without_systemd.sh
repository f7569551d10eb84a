#!/bin/bash
# After bundle.sh: deletes a container in a cgroup of systemd while systemd cannot be reached.
write_config '.linux.cgroupsPath = "system.slice:runvf:deaf"'
runvf --systemd-cgroup run -d --pid-file pid --bundle . deaf < /dev/null > /dev/null 2>&1
# exec needs no directory for temporary files either.
TMPDIR=/no/such runvf exec deaf true
for bus in /run/systemd/private /run/dbus/system_bus_socket; do mount --bind /dev/null $bus; done
code=0
runvf delete --force deaf || code=$?
left=0
[ ! -e "/proc/$(cat pid)/ns/net" ] || left=1
umount /run/systemd/private /run/dbus/system_bus_socket
systemctl stop runvf-deaf.scope 2> /dev/null || true
[ $code$left = 00 ]
