# Where the time of 21 attaches at once goes: what they wait for each other (the kernel's own tracepoints of its locks), and what the
# CPUs do meanwhile. Tracing costs something, so it is a turn of its own.
set -e
. /tmp/bench.sh
trace=/sys/kernel/tracing
for i in $(seq 21); do holder c$i $((100 + i)); done
cd $trace
echo 0 > tracing_on
echo 16384 > buffer_size_kb
echo 0 > options/hash-ptr
echo 1 > events/lock/enable
echo > trace
rm -f /tmp/took
attach() {
    local began=$EPOCHREALTIME ended
    $hook attach < /tmp/c$1.state
    ended=$EPOCHREALTIME
    echo $((${ended/./} - ${began/./})) >> /tmp/took
}
cpus() { head -n 1 /proc/stat; }
before=$(cpus) began=$EPOCHREALTIME
echo 1 > tracing_on
# Not all jobs: the holders are among them.
jobs=()
for i in $(seq 21); do attach $i & jobs+=($!); done
wait ${jobs[@]}
echo 0 > tracing_on
after=$(cpus) ended=$EPOCHREALTIME
echo 0 > events/lock/enable
cat trace > /tmp/locks
grep -q '#.*entries-in-buffer/entries-written: \([0-9]*\)/\1 ' /tmp/locks || { echo "the trace has holes" >&2; exit 1; }
echo > trace
echo 1408 > buffer_size_kb
echo 1 > options/hash-ptr
rtnl=$(awk '$3 == "rtnl_mutex" { print $1 }' /proc/kallsyms)
[ -n "$rtnl" ]

# Both waits of one mutex, spinning and asleep, begin, and end once.
awk -v rtnl=$rtnl -v took=$((${ended/./} - ${began/./})) -v before="$before" -v after="$after" '
    FILENAME == "/tmp/took" { life += $1; next }
    !/^ *runvf-hook-/ { next }
    {
        for (i = 2; i <= NF; i++) if ($i ~ /^contention_(begin|end):$/) break
        time = substr($(i - 1), 1, length($(i - 1)) - 1); lock = $(i + 1); key = $1 " " lock
        if ($i == "contention_begin:") { if (!(key in since)) since[key] = time }
        else if (key in since) { waited[lock ~ rtnl "$" ? "rtnl" : "other"] += time - since[key]; times[lock ~ rtnl "$" ? "rtnl" : "other"]++; delete since[key] }
    }
    END {
        split(before, was, " "); split(after, is, " ")
        for (i = 2; i <= 9; i++) { all += is[i] - was[i]; if (i == 5 || i == 6) idle += is[i] - was[i] }
        printf "21 attaches at once took %.2f s, and %.2f s if each is counted: %.2f s waiting for rtnl_mutex (%d times), %.2f s for other locks (%d times)\n",
            took / 1e6, life / 1e6, waited["rtnl"], times["rtnl"], waited["other"], times["other"]
        printf "CPUs busy: %d %%\n", 100 * (all - idle) / all
    }' /tmp/took /tmp/locks

for i in $(seq 21); do end c$i; done
jobs=()
for i in $(seq 21); do $hook detach < /tmp/c$i.state & jobs+=($!); done
wait ${jobs[@]}
clean
