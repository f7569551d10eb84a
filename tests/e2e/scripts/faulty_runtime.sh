#!/bin/bash
# runvf with a fault: it changes config.json by the jq program $filter before it creates a container.
: "${filter:?}"
arguments=("$@")
while (($#)); do
    if [ "$1" = --bundle ]; then
        # jq cannot change a bundle without valid JSON.
        ! jq "$filter" "$2/config.json" > /tmp/faulty.json || cat /tmp/faulty.json > "$2/config.json"
    fi
    shift
done
exec "${runvf:-/usr/bin/runvf}" "${arguments[@]}"
