#!/bin/bash
# Prints the settings of $vf, the first VF, without its carrier and without the flags that its driver changes by itself.
: "${vf:?}"
ip -j link show pf0 | jq -c '.[0].vfinfo_list[0] | [.vlan_list, .trust, .spoofchk]'
readlink "/sys/bus/pci/devices/$vf/driver" || true
show() {  # IP_OPTION…
    ip "$@" -j link show enp1s0v0 | jq -c '.[] | [.ifname, .mtu, .master, (.flags - ["NO-CARRIER", "LOWER_UP"])]'
    ip "$@" -4 -o addr show enp1s0v0
}
show || true
show -n other || true
