#!/bin/bash
# Removes all containers after the endurance test.
docker ps -aq | xargs -r docker rm -f
# Podman fails once to remove a container if its conmon was killed, with crun as well, and then removes it.
podman rm -fa -t 0 || podman rm -fa -t 0
# containerd gives the runtime five seconds to clean up after a killed shim, and then forgets the container. `runvf list`
# does not show a container that was killed before it had a state.
for root in /run/runvf/containers /run/docker/runtime-runc/moby; do
    for container in "$root"/*; do
        [ -e "$container" ] || continue
        echo "$container" >> /tmp/soak/left
        runvf --root $root delete --force "${container##*/}"
    done
done
pkill -9 -xf 'sleep 100000'
true
