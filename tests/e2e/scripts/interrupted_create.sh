#!/bin/bash
# Interrupts the create of a container by $event, which a createRuntime hook runs, and deletes the container. $systemd is
# --systemd-cgroup, or empty.
: "${runtime:?}" "${systemd?}" "${event:?}"
bundle=/var/lib/runvf-bundles/tcpdump
mkdir -p /tmp/d
cd /tmp/d || exit
echo "$event" > hook
cgroup=/cut
[ -z "$systemd" ] || cgroup=system.slice:runvf:cut
jq ".root.path = \"$bundle/rootfs\" | .annotations = {} | .mounts |= map(select(.type != \"bind\"))
    | .linux.cgroupsPath = \"$cgroup\" | .hooks.createRuntime = [{path: \"/bin/sh\", args: [\"sh\", \"/tmp/d/hook\"]}]" \
    $bundle/config.json > config.json
timeout 60 "$runtime" ${systemd:+"$systemd"} create --bundle . cut < /dev/null > /dev/null 2>&1 && echo created
"$runtime" delete --force cut
# An empty cgroup is left by a killed runc, too.
left() {
    pgrep -af 'create --bundle . cut'
    [ "$runtime" = runc ] || find /sys/fs/cgroup -name '*cut*'
}
for _ in $(seq 100); do
    [ -z "$(left)" ] && echo gone && break
    sleep 0.1
done
left
rm -rf /tmp/d
