#!/bin/bash
# Makes claims of VFs that do not exist: a directory, and a file that is not valid.
# Only the deepest directory is private.
# shellcheck disable=SC2174
mkdir -p -m 700 /run/runvf/claims
echo 0 > /sys/class/net/pf0/device/sriov_numvfs
cd /run/runvf/claims || exit
mkdir -p 0000:01:10.0.json/folder
echo '{' > 0000:01:10.2.json
echo '{' > /tmp/other.json
