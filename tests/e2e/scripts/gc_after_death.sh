#!/bin/bash
# A gc does not touch $vf, the VF of a living process, and releases it after the end of the process.
: "${vf:?}"
unshare -n sleep 1000 &
target=$!
until [ "$(readlink /proc/$target/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
echo "{\"id\":\"x\",\"pid\":$target,\"annotations\":{\"io.runvf.vlan\":\"55\"}}" |
    /usr/libexec/runvf/runvf-hook attach
runvfctl status | grep -q 'attached *55 *on'
runvfctl gc
runvfctl status | grep -q 'attached *55 *on'
kill -9 $target
wait $target || true
runvfctl gc | grep -q "$vf clean and free"
