#!/bin/sh
# Inside a container: moves the VF into a netns that only a descriptor holds.
set -e
unshare -n sleep 100000 &
until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
exec 9< /proc/$!/ns/net
ip link set mon0 netns $!
kill -9 $!
wait || true
touch /tmp/hidden
exec sleep 100000
