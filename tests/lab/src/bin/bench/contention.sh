#!/bin/bash
# Traces the lock waits of concurrent attaches with the kernel's tracepoints, and measures how busy the CPUs
# are. This is a turn of its own, because tracing takes time.
set -e
# shellcheck source=functions.sh
. /tmp/bench.sh
hold_all
cd /sys/kernel/tracing
echo 0 > tracing_on
echo 16384 > buffer_size_kb
echo 0 > options/hash-ptr
echo 1 > events/lock/enable
echo > trace
rm -f /tmp/took
attach() {
    local began=$EPOCHREALTIME ended
    $hook attach < "/tmp/c$1.state"
    ended=$EPOCHREALTIME
    echo $((${ended/./} - ${began/./})) >> /tmp/took
}
cpus() { head -n 1 /proc/stat; }
before=$(cpus) began=$EPOCHREALTIME
echo 1 > tracing_on
# Not all jobs of this shell, because the holders are jobs, too.
jobs=()
for i in $(seq "$crowd"); do
    attach "$i" &
    jobs+=($!)
done
wait "${jobs[@]}"
echo 0 > tracing_on
after=$(cpus) ended=$EPOCHREALTIME
echo 0 > events/lock/enable
cat trace > /tmp/locks
if ! grep -q '#.*entries-in-buffer/entries-written: \([0-9]*\)/\1 ' /tmp/locks; then
    echo "the trace buffer overflowed" >&2
    exit 1
fi
echo > trace
echo 1408 > buffer_size_kb
echo 1 > options/hash-ptr
rtnl=$(awk '$3 == "rtnl_mutex" { print $1 }' /proc/kallsyms)
[ -n "$rtnl" ]

# A wait for a mutex may begin twice, once spinning and once asleep, but it ends once.
awk -v crowd="$crowd" -v rtnl="$rtnl" -v took=$((${ended/./} - ${began/./})) -v before="$before" -v after="$after" '
    FILENAME == "/tmp/took" { total += $1; next }
    !/^ *runvf-hook-/ { next }
    {
        for (i = 2; i <= NF; i++) if ($i ~ /^contention_(begin|end):$/) break
        time = substr($(i - 1), 1, length($(i - 1)) - 1); lock = $(i + 1); key = $1 " " lock
        name = lock ~ rtnl "$" ? "rtnl" : "other"
        if ($i == "contention_begin:") { if (!(key in since)) since[key] = time }
        else if (key in since) { waited[name] += time - since[key]; times[name]++; delete since[key] }
    }
    END {
        split(before, was, " "); split(after, is, " ")
        for (i = 2; i <= 9; i++) { all += is[i] - was[i]; if (i == 5 || i == 6) idle += is[i] - was[i] }
        printf "%d concurrent attaches took %.2f s (%.2f s summed over all attaches): %.2f s waiting for rtnl_mutex (%d times), %.2f s for other locks (%d times)\n",
            crowd, took / 1e6, total / 1e6, waited["rtnl"], times["rtnl"], waited["other"], times["other"]
        printf "CPUs busy: %d %%\n", 100 * (all - idle) / all
    }' /tmp/took /tmp/locks

end_all
detach_all
clean
if [ -e /tmp/bench.left ]; then
    awk '{ all += $1 } END { printf "releases that ended at their time limit and were left to gc: %d\n", all }' /tmp/bench.left
fi
