#!/bin/bash
# Sets up a VF of pf0 without trust in a network namespace of its own, as a user does by hand, or takes it back.
# `up` prints the MAC address of the VF.
set -e
vf=$(readlink -f "/sys/class/net/pf0/device/virtfn$2")
address=${vf##*/}

case $1 in
up)
    ip link set pf0 vf "$2" vlan "$3"
    # `runvfctl setup` keeps free VFs of this NIC without their driver.
    echo iavf > "$vf/driver_override"
    echo "$address" > /sys/bus/pci/drivers_probe
    echo > "$vf/driver_override"
    for ((tries = 0; tries < 300; tries++)); do
        netdev=$(ls "$vf/net" 2> /dev/null) && [ -n "$netdev" ] && break
        sleep 0.1
    done
    udevadm settle
    netdev=$(ls "$vf/net")
    ip netns add by-hand
    ip link set "$netdev" netns by-hand name mon0
    ip netns exec by-hand bash -ec '
        echo 1 > /proc/sys/net/ipv6/conf/mon0/disable_ipv6
        ip link set mon0 arp off promisc on allmulticast on up
        for ((tries = 0; tries < 300; tries++)); do
            ip link show mon0 | grep -q LOWER_UP && break
            sleep 0.1
        done
        ip link show mon0 | grep -q "PROMISC.*LOWER_UP"
        cat /sys/class/net/mon0/address'
    ;;
down)
    echo "$address" > "$vf/driver/unbind"
    ip netns del by-hand
    # i40e refuses changes while it resets the VF.
    for ((tries = 0; tries < 50; tries++)); do
        ip link set pf0 vf "$2" vlan 0 2> /dev/null && exit
        sleep 0.1
    done
    ip link set pf0 vf "$2" vlan 0
    ;;
esac
