#!/bin/bash
# After bundle.sh: freezes a container behind the runtime's back, and resumes it twice.
: "${runtime:?}"
write_config .
"$runtime" run -d --bundle . test < /dev/null > /dev/null 2>&1
freeze=/sys/fs/cgroup/test/cgroup.freeze
echo 1 > $freeze
"$runtime" resume test
cat $freeze
"$runtime" resume test 2> /dev/null || echo refused
"$runtime" delete --force test
