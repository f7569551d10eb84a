#!/bin/sh
# Inside a container with CAP_NET_ADMIN: changes every item of the VF that it can. An alias and a name are not UTF-8, which
# the kernel allows.
set -e
ip link set mon0 down
ip link set mon0 name evil0 address 02:66:66:66:66:66 mtu 1300 txqueuelen 7 alias "$(printf "\377")"
ip link property add dev evil0 altname evil-altname
ip link property add dev evil0 altname "$(printf "e\377")"
ip link set evil0 up promisc on allmulticast on
ip link add link evil0 name evil0.5 type vlan id 5
ip addr add 10.9.9.9/24 dev evil0
ip link show evil0 | grep -q 1300
