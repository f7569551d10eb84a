#!/bin/bash
# Moves VF $index of pf0 into a new netns on VLAN $vlan. udev renames a new netdev, so its name is only known afterwards.
: "${index:?}" "${vlan:?}"
udevadm settle
name=$(ls "/sys/class/net/pf0/device/virtfn$index/net")
ip link set pf0 vf "$index" vlan "$vlan" trust on
ip netns add "t$vlan"
ip link set "$name" netns "t$vlan" name mon0
ip -n "t$vlan" link set mon0 promisc on up
