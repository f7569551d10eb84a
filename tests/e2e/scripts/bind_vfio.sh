#!/bin/bash
# Binds $vf to vfio-pci instead of its driver.
: "${vf:?}"
pci=/sys/bus/pci
modprobe vfio-pci
echo "$vf" > "$pci/devices/$vf/driver/unbind"
echo vfio-pci > "$pci/devices/$vf/driver_override"
echo "$vf" > $pci/drivers_probe
[ "$(basename "$(readlink "$pci/devices/$vf/driver")")" = vfio-pci ]
