#!/bin/bash
# Kills `podman run` on the network acme $count times, each time at another moment, and cleans up as an operator does.
# Prints how many VFs were left with a network namespace that Podman had not recorded yet.
: "${count:?}" "${seed:?}"
RANDOM=$seed
left=0
for _ in $(seq "$count"); do
    # In a session of its own: netavark and the plugin are killed as well.
    setsid podman run --rm --name killed --network acme runvf/tcpdump true < /dev/null &> /dev/null &
    sleep "$((RANDOM % 4)).$((RANDOM % 10))"
    kill -KILL -- "-$!" 2> /dev/null
    wait
    podman rm -f -t 0 killed &> /dev/null
    runvfctl gc > /dev/null || [ $? = 3 ] || exit 1
    for claim in /run/runvf/claims/0*.json; do
        [ -e "$claim" ] || continue
        left=$((left + 1))
        runvfctl release "$(jq -r .container "$claim")" >&2 || exit 1
    done
    for netns in /run/netns/netns-*; do
        [ ! -e "$netns" ] || { umount "$netns" && rm "$netns"; }
    done
done
echo "$left"
