#!/bin/bash
# Gives $dev an address of the host, and waits for its carrier.
: "${dev:?}"
ip link set "$dev" up
ip addr add 10.9.9.9/24 dev "$dev"
until ip link show "$dev" | grep -q LOWER_UP; do sleep 0.1; done
