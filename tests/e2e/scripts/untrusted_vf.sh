#!/bin/bash
# Sets up VF $index of pf0 by hand on VLAN $vlan, with its driver $driver: promiscuous in the netns `hand`, without trust.
: "${index:?}" "${vlan:?}" "${driver:?}"
device=$(readlink -f "/sys/class/net/pf0/device/virtfn$index")
# `runvfctl setup` keeps free VFs without a driver. Then the kernel binds one only for an override.
echo "$driver" > "$device/driver_override"
echo "${device##*/}" > /sys/bus/pci/drivers_probe
echo > "$device/driver_override"
until [ "$(ls "$device/net" 2> /dev/null)" ]; do sleep 0.1; done
udevadm settle
name=$(ls "$device/net")
ip link set pf0 vf "$index" vlan "$vlan" trust off
ip netns add hand
# IPv6 would send frames to the other sensors of the VLAN.
ip netns exec hand sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
ip link set "$name" netns hand name mon0
# The driver is busy while the change of the VLAN resets the VF.
for _ in $(seq 300); do
    ip -n hand link set mon0 up promisc on allmulticast on && ip -n hand link show mon0 | grep -q LOWER_UP && exit
    sleep 0.1
done
exit 1
