#!/bin/sh
# An attach with `ip`, `nsenter` and `ethtool`: the same steps as runvf, with checks before and after, but
# without a claim.
set -e
pid=$(cat /tmp/bench.pid)
vf=$(ls /sys/class/net/pf0/device/virtfn0/net)
ip link show pf0 | grep -q 'vf 0 .*trust off'
ip link set pf0 vf 0 vlan 100 trust on
ip link show pf0 | grep -q 'vf 0 .*vlan 100.*trust on'
ip link set "$vf" netns "$pid" name mon0
# iavf refuses changes until it has handled the reset by the new VLAN and trust.
nsenter -t "$pid" -n sh -ec '
    echo 1 > /proc/sys/net/ipv6/conf/mon0/disable_ipv6
    until ethtool -K mon0 gro off 2> /dev/null; do sleep 0.01; done
    until ip link set mon0 arp off promisc on allmulticast on up 2> /dev/null; do sleep 0.01; done
    until ip link show mon0 | grep -q LOWER_UP; do sleep 0.01; done
    ip link show mon0 | grep -q PROMISC'
ip link show pf0 | grep -q 'vf 0 .*vlan 100.*trust on'
