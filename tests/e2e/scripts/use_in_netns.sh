#!/bin/bash
# Moves $dev into the netns of the unit `other`.
: "${dev:?}"
systemd-run --quiet --unit other unshare -n sleep 100000
pid() { systemctl show -P MainPID other; }
until [ "$(readlink "/proc/$(pid)/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link set "$dev" netns "$(pid)"
