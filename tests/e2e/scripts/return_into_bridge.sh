#!/bin/bash
# Puts the returned netdev of $vf, the first VF, into a bridge, and releases the VF.
: "${vf:?}"
# shellcheck source=hook_calls.sh
source /tmp/functions
netdev() { ls "/sys/bus/pci/devices/$vf/net"; }
holder a 11
attach a
end a
until [ "$(netdev)" ]; do sleep 0.05; done
ip link add br0 type bridge
ip link set "$(netdev)" master br0
detach a
ip link del br0
