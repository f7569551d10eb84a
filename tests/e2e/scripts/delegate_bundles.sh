#!/bin/bash
# Makes the bundles /tmp/b, whose process prints the carrier and exits with 5, and /tmp/t, whose process prints its terminal.
bundle=/var/lib/runvf-bundles/tcpdump
mkdir -p /var/log/sensor
cp -r --reflink=auto $bundle /tmp/b
jq '.process.args = ["sh", "-c", "cat /sys/class/net/mon0/carrier; exit 5"]' $bundle/config.json > /tmp/b/config.json
cp -r --reflink=auto /tmp/b /tmp/t
jq '.process.terminal = true | .process.args[2] = "tty"' /tmp/b/config.json > /tmp/t/config.json
