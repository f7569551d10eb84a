#!/bin/bash
# Attaches and releases a VF on VLAN $number. Both calls of the hook are killed at a moment that $seed decides; a call that
# has ended before is not. Then gc must leave no claim.
: "${seed:?}" "${number:?}"
# shellcheck source=hook_calls.sh
source /tmp/functions
RANDOM=$seed

killed() {  # COMMAND
    "$hook" "$1" < /tmp/c.state &
    local pid=$!
    sleep "$((RANDOM % 2)).$((RANDOM % 10))"
    kill -9 $pid 2> /dev/null
    wait $pid 2> /dev/null
    [ $? != 137 ] || echo killed
}

holder c "$number"
killed attach
end c
killed detach
timeout 100 runvfctl gc
left=$(ls -A /run/runvf/claims)
[ -z "$left" ] || cat /run/runvf/claims/*
[ -z "$left" ]
