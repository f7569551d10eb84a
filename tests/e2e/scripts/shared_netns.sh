#!/bin/bash
# Creates the netns `rented`, and configurations of three containers in it. The first and the third ask for the same
# interface name.
bundle=/var/lib/runvf-bundles/tcpdump
ip netns add rented
for n in 1 2 3; do
    mkdir /tmp/c$n
    name=mon$((n % 2))
    jq ".root.path = \"$bundle/rootfs\" | .process.args = [\"sleep\", \"1000\"]
        | del(.linux.namespaces[] | select(.type == \"pid\")) | .annotations = {\"io.runvf.vlan.$name\": \"${n}00\"}
        | (.linux.namespaces[] | select(.type == \"network\")).path = \"/run/netns/rented\"" \
        $bundle/config.json > /tmp/c$n/config.json
done
