#!/bin/bash
# After bundle.sh: kills and deletes a container in the host pid namespace; its processes fork without end.
: "${runtime:?}"
cgroup=/sys/fs/cgroup/test
write_config '.linux.namespaces |= map(select(.type != "pid")) | .process.args = ["/usr/bin/perl", "-e", "fork; fork; fork; fork and exit while 1"]
    | .mounts += [{"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}]'
"$runtime" run -d --bundle . test < /dev/null > /dev/null 2>&1
grep -q . $cgroup/cgroup.procs && echo there
"$runtime" kill --all test KILL
for _ in $(seq 50); do
    grep -q . $cgroup/cgroup.procs || break
    sleep 0.1
done
wc -l < $cgroup/cgroup.procs
"$runtime" delete --force test && echo removed
pgrep -x perl || echo gone
if [ -e $cgroup ]; then
    echo 1 > $cgroup/cgroup.kill
    sleep 1
    rmdir $cgroup
fi
