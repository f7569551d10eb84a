#!/bin/bash
# Kills the init process of $engine's container `sensor`, and waits until its claim is gone.
: "${engine:?}"
kill -9 "$("$engine" inspect -f '{{.State.Pid}}' sensor)"
for _ in $(seq 200); do
    [ -z "$(ls -A /run/runvf/claims)" ] && exit
    sleep 0.1
done
exit 1
