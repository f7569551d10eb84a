#!/bin/bash
# Attaches in a cgroup that allows one task.
# shellcheck source=hook_calls.sh
source /tmp/functions
cgroup=/sys/fs/cgroup/few
mkdir $cgroup
echo 1 > $cgroup/pids.max
holder a 11
(
    echo "$BASHPID" > $cgroup/cgroup.procs
    exec "$hook" attach < /tmp/a.state
)
code=$?
end a
rmdir $cgroup
exit $code
