#!/bin/bash
# Moves VF $index of pf0 into a new netns, where it is mon0 and up.
: "${index:?}"
udevadm settle
name=$(ls "/sys/class/net/pf0/device/virtfn$index/net")
ip netns add "vf$index"
ip link set "$name" netns "vf$index" name mon0
ip -n "vf$index" link set mon0 up
