#!/bin/bash
# Binds $vf to its own driver again.
: "${vf:?}"
pci=/sys/bus/pci
echo "$vf" > $pci/drivers/vfio-pci/unbind
echo > "$pci/devices/$vf/driver_override"
echo "$vf" > $pci/drivers_probe
