#!/bin/bash
# Runs a container without a VF and without volumes, as `c` under runvf and as `r` under runc.
bundle=/var/lib/runvf-bundles/tcpdump
mkdir /tmp/b
jq ".root.path = \"$bundle/rootfs\" | .mounts |= map(select(.type != \"bind\")) | .annotations = {} | .process.args = [\"sleep\", \"1000\"]" \
    $bundle/config.json > /tmp/b/config.json
runvf run -d --bundle /tmp/b c < /dev/null > /dev/null 2>&1
runc run -d --bundle /tmp/b r < /dev/null > /dev/null 2>&1
