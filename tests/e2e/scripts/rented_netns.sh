#!/bin/bash
# Creates the netns `rented`, and starts the container `c` in it.
bundle=/var/lib/runvf-bundles/tcpdump
mkdir -p /tmp/b
ip netns add rented
jq ".root.path = \"$bundle/rootfs\" | (.linux.namespaces[] | select(.type == \"network\")).path = \"/run/netns/rented\"" \
    $bundle/config.json > /tmp/b/config.json
runvf create --bundle /tmp/b --pid-file /tmp/pid c < /dev/null > /tmp/log 2>&1
runvf start c
nsenter -n -t "$(cat /tmp/pid)" ip link show mon0
