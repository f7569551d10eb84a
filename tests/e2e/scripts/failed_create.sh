#!/bin/bash
# After bundle.sh: the create of a second container in the cgroup of the first one fails, because no console socket takes
# its terminal.
: "${runtime:?}"
with_terminal() { write_config ".process.terminal = $1 | .linux.cgroupsPath = \"/shared\""; }
with_terminal false
"$runtime" run -d --bundle . first < /dev/null > /dev/null 2>&1
with_terminal true
"$runtime" create --bundle . second < /dev/null > /dev/null 2>&1 || echo failed
"$runtime" state first | jq -r .status
"$runtime" delete --force first
