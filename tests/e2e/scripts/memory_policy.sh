#!/bin/bash
# After bundle.sh: the memory policy and the OOM score of the init process and of an added one. The kernel shows the policy
# of a process for each part of its memory that has none of its own.
: "${runtime:?}"
write_config '.linux.memoryPolicy = {"mode": "MPOL_BIND", "nodes": "0"} | .process.oomScoreAdj = 321'
"$runtime" run -d --bundle . test < /dev/null > /dev/null 2>&1
# shellcheck disable=SC2016  # the shell inside expands it
show='echo $(cut -d " " -f 2 /proc/self/numa_maps | sort -u) $(cat /proc/self/oom_score_adj)'
init=$("$runtime" state test | jq .pid)
echo "init: $(cut -d " " -f 2 "/proc/$init/numa_maps" | sort -u) $(cat "/proc/$init/oom_score_adj")"
echo "added: $("$runtime" exec test sh -c "$show" < /dev/null)"
"$runtime" delete --force test
