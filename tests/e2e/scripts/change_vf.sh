#!/bin/sh
# Inside a container with CAP_NET_ADMIN: renames and reconfigures the VF.
set -e
ip link set mon0 down
ip link set mon0 name evil0
ip link set evil0 mtu 1300 alias x
ip link property add dev evil0 altname evil-altname
ip link set evil0 up promisc on
ip addr add 10.9.9.9/24 dev evil0
ip link show evil0 | grep -q 1300
