#!/bin/bash
# After escapes.sh: processes that exec adds to a container with a user namespace.
: "${runtime:?}"
copy_root
chown -R 1000000:1000000 /tmp/e/root
write_config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 1000000, size: 65536}]
    | .linux.gidMappings = .linux.uidMappings | .process.args = ["sleep", "1000"]'
"$runtime" run -d --bundle /tmp/e escape < /dev/null > /tmp/e/out 2>&1 || cat /tmp/e/out
"$runtime" exec escape sh -c 'cat /proc/self/uid_map; cat /proc/self/setgroups; echo x > /proc/sys/kernel/hostname' 2>&1 || echo refused
# A process that waits: its user on the host, and whether it has the capabilities of the host's root.
"$runtime" exec -d escape sleep 2000
grep -e Uid -e CapEff -e CapBnd "/proc/$(pgrep -fx 'sleep 2000')/status"
"$runtime" exec --user 70000 escape true 2> /dev/null || echo unmapped
"$runtime" delete -f escape
rm -rf /tmp/e
