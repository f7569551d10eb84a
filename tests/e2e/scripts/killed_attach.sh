#!/bin/bash
# Kills an attach as soon as its claim $claim is on disk, somewhere between that moment and its end; then ends its container.
: "${claim:?}"
unshare -n sleep 1000 &
target=$!
until [ "$(readlink /proc/$target/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
echo "{\"id\":\"x\",\"pid\":$target,\"annotations\":{\"io.runvf.vlan\":\"55\"}}" > /tmp/state
/usr/libexec/runvf/runvf-hook attach < /tmp/state &
hook=$!
until [ -e "$claim" ] || ! kill -0 $hook; do :; done
kill -9 $hook
kill -9 $target
wait
