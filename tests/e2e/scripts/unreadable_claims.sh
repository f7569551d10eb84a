#!/bin/bash
# Makes claims of the VFs $first and $second, which do not exist: a directory, and a file that is not valid.
: "${first:?}" "${second:?}"
# Only the deepest directory is private.
# shellcheck disable=SC2174
mkdir -p -m 700 /run/runvf/claims
echo 0 > /sys/class/net/pf0/device/sriov_numvfs
cd /run/runvf/claims || exit
mkdir -p "$first.json/folder"
echo '{' > "$second.json"
echo '{' > /tmp/other.json
