#!/bin/bash
# Begins the scripts for bundles by hand, in /tmp/d.
bundle=/var/lib/runvf-bundles/tcpdump
mkdir -p /tmp/d
cd /tmp/d || exit

# A container without volumes, annotations and a terminal.
write_config() {  # FILTER
    jq ".root.path = \"$bundle/rootfs\" | .process.terminal = false | .annotations = {} | .mounts |= map(select(.type != \"bind\"))
        | .process.args = [\"sleep\", \"1000\"] | .linux.cgroupsPath = \"/test\" | $1" $bundle/config.json > config.json
}
