#!/bin/sh
# Inside a container: moves the VF into a netns of another process.
unshare -n sleep 100000 &
until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
ip link set mon0 netns $!
touch /tmp/hidden
wait
