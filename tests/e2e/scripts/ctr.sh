#!/bin/bash
# Everyday work with ctr, the client of containerd, with $runtime as the program of the runtime.
: "${runtime:?}" "${image:?}"
lab() { ctr -n lab "$@"; }
status() { lab task ls | awk '$1 == "plain" { print $3 }'; }
lab run --rm --runc-binary "$runtime" "$image" plain sh -c 'echo out; exit 3' < /dev/null || echo "= $?"
lab run -d --runc-binary "$runtime" "$image" plain sleep 1000 < /dev/null
lab task exec --exec-id a plain sh -c 'echo inside; exit 4' < /dev/null || echo "= $?"
lab task pause plain
status
lab task resume plain
status
echo "$(lab task ps plain | tail -n +2 | wc -l) process"
lab task metrics --format json plain | jq -c 'keys'
lab task kill -s KILL plain
until [ "$(status)" = STOPPED ]; do sleep 0.1; done
lab task rm plain && lab container rm plain && echo removed
