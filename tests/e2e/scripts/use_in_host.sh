#!/bin/bash
# Gives $dev an address of the host, and waits for its carrier.
: "${dev:?}"
# The driver may be busy with a reset of the VF.
until ip link set "$dev" up; do sleep 0.1; done
ip addr add 10.9.9.9/24 dev "$dev"
until ip link show "$dev" | grep -q LOWER_UP; do sleep 0.1; done
