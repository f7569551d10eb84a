#!/bin/bash
# Starts a container with a VF whose process opens $files files, and makes $links links in its netns. A process inside
# could make them with CAP_NET_ADMIN.
: "${image:?}" "${links:?}" "${files:?}"
docker run -d --name hoarder --network none --runtime runvf --annotation io.runvf.vlan=200 --ulimit nofile=1048576:1048576 \
    -v /usr:/usr:ro -v /tmp/hoard.pl:/hoard.pl:ro "$image" perl /hoard.pl "$files"
pid=$(docker inspect -f '{{.State.Pid}}' hoarder)
seq "$links" | sed 's/.*/link add d& type dummy/' | nsenter -n -t "$pid" ip -batch -
for _ in $(seq 300); do
    docker logs hoarder | grep -q ready && break
    sleep 1
done
[ "$(nsenter -n -t "$pid" sh -c 'ls /sys/class/net' | wc -l)" -gt "$links" ]
[ "$(find "/proc/$pid/fd" -type l | wc -l)" -gt "$files" ]
