#!/bin/bash
# Prints all that a refused or ended container must leave unchanged. It starts few processes, because each costs an
# emulated CPU more than its work; and no engine, because those cost most: the engines keep a directory for each
# container. Podman removes its directory last; its last process may live a moment longer.
udevadm settle
ip link show | awk '
    /^[0-9]+: (pf|enp|eth|mon|tap|dev)/ {
        sub(/^[0-9]+: /, ""); sub(/ qdisc .*/, ""); sub(/NO-CARRIER,/, ""); sub(/,LOWER_UP/, ""); name = $1; print }
    /^ +vf [0-9]/ { sub(/link\/ether [0-9a-f:]+ /, ""); print name, $0 }' | sort
cd /sys/class/net || exit
grep -shE '^([0-9]+$|DRIVER=|PCI_SLOT_NAME=)' pf*/device/sriov_numvfs pf*/device/virtfn*/uevent || [ $? = 2 ]
find /run/runvf/claims /run/runvf/containers /run/netns /var/log/runvf /var/lib/docker/containers \
    /var/lib/containers/storage/overlay-containers \
    -mindepth 1 -maxdepth 1 \( ! -path '/var/*' -o -type d \) 2> /dev/null || true
(readlink /proc/[0-9]*/ns/net || true) | sort -u | wc -l
declare -A count
for file in /proc/[0-9]*/comm; do
    ! read -r name < "$file" || count[$name]=$((${count[$name]:-0} + 1))
done 2> /dev/null
for name in podman conmon containerd-shim runvf runc crun; do echo "$name: ${count[$name]:-0}"; done
