#!/bin/bash
# After bundle.sh: the limit of open files, again and again, because a public test suite has once seen 3999.
: "${runtime:?}"
write_config '.process.rlimits = [{"type": "RLIMIT_NOFILE", "soft": 3000, "hard": 4000}]
    | .process.args = ["sh", "-c", "ulimit -Sn; ulimit -Hn"]'
for _ in $(seq 30); do
    "$runtime" run --bundle . test < /dev/null
done | sort | uniq -c
