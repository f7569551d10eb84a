#!/bin/bash
# Prints the types of the events of the container `c`, one object a line until the container ends.
runvf events --interval 200ms c > /tmp/events &
events=$!
until [ "$(wc -l < /tmp/events)" -ge 2 ]; do sleep 0.1; done
runvf kill c KILL
wait $events
jq -r .type /tmp/events | sort -u
! runvf events --stats c
runvf delete c
runc delete -f r
