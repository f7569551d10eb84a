#!/bin/bash
# Functions for many processes and containers of $runtime in /tmp/m.
: "${runtime:?}"
bundle=/var/lib/runvf-bundles/tcpdump
mkdir -p /tmp/m
cd /tmp/m || exit
jq ".root.path = \"$bundle/rootfs\""' | .annotations = {} | .mounts |= map(select(.type != "bind"))
    | .process.args = ["sleep", "1000"]' $bundle/config.json > config.json

run() { "$runtime" run -d --bundle /tmp/m "$1" < /dev/null > /dev/null 2>&1; }

# Counts what would grow if processes or containers left something.
count_leftovers() {
    echo mounts: "$(findmnt -rn | wc -l)"
    echo processes: "$(pgrep -c '^(runc|runvf|youki|sleep|true)')"
    echo cgroups: "$(find /sys/fs/cgroup -type d -name '*m*[0-9]*' | wc -l)"
    echo states: "$(find /run/runc /run/runvf -mindepth 1 ! -name '*.lock' 2> /dev/null | wc -l)"
    echo temporary: "$(find /tmp /var/tmp -maxdepth 1 | wc -l)"
    echo namespaces: "$(lsns -rno NS | sort -u | wc -l)"
    echo keyrings: "$(grep -c ' _ses[.]m' /proc/keys)"
}

# Runs a command 25 times, four at a time, which keeps both CPUs busy. `@` is the number of the run.
batch() { seq 25 | xargs -P 4 -I @ "$@" > /dev/null 2>> failed || echo "xargs: $?" >> failed; }
