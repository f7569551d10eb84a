#!/bin/bash
# Sets an XDP program, queueing disciplines and a filter on the VF of Podman's container `sensor`.
pid=$(podman inspect -f '{{.State.Pid}}' sensor)
inside() { nsenter -n -t "$pid" "$@"; }
perl /tmp/xdp.pl
inside ip link set mon0 xdpgeneric pinned /sys/fs/bpf/pass
inside tc qdisc replace dev mon0 root pfifo limit 7
inside tc qdisc add dev mon0 clsact
inside tc filter add dev mon0 ingress matchall action drop
rm /sys/fs/bpf/pass
inside ip -d link show mon0 | grep -c xdpgeneric
inside tc qdisc show dev mon0 | grep -c 'limit 7p'
