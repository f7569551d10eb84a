#!/bin/bash
# Functions for an idle monitor; the guest sources them after monitor.sh. Parameter: count, the number of VFs.
# shellcheck source=fault_points.sh
source /tmp/functions

monitor_pid() { systemctl show -P MainPID runvf-monitor.service; }

# Attaches VFs until there are $count.
fill() {
    local number
    # shellcheck disable=SC2154
    for number in $(seq 2 "$count"); do
        holder "i$number"
        echo "{\"id\":\"i$number\",\"pid\":$(< "/tmp/i$number.pid"),\"annotations\":{\"io.runvf.vlan\":\"$((100 + number))\"}}" |
            timeout 100 /usr/libexec/runvf/runvf-hook attach || return
    done
    local claims=(/run/runvf/claims/0*.json)
    [ ${#claims[@]} = "$count" ]
}

switches() { cat "/proc/$(monitor_pid)/task/"*/status | awk '/^voluntary_ctxt_switches/ { sum += $2 } END { print sum }'; }

# The wake-ups a second. They begin to count when the threads of the last work have ended.
wake_ups() {  # SECONDS
    sleep 15
    local before after
    before=$(switches)
    sleep "$1"
    after=$(switches)
    awk "BEGIN { print ($after - $before) / $1 }"
}

resident() { awk '/^VmRSS/ { print $2 }' "/proc/$(monitor_pid)/status"; }

# How many records change within 3 s after a command.
checks_after() {  # COMMAND…
    local before
    before=$(stat -c '%n %Z' /run/runvf/claims/0*.json)
    sleep 1.1
    "$@"
    sleep 3
    diff <(echo "$before") <(stat -c '%n %Z' /run/runvf/claims/0*.json) | grep -c '^>' || true
}

gaps() { jq -s "[.[] | select(.pf == \"0000:01:00.0\") | select(.gap.until and .blind.gaps >= $1)] | length" /run/runvf/claims/0*.json; }
# The pause leaves the CPU to the monitor: jq needs as much of it as the work that is measured. It adds to the time.
all_have() { [ "$(gaps "$1")" = "$2" ] || { sleep 0.2; false; }; }
all_up() {
    local pid
    for pid in $(jq -r 'select(.pf == "0000:01:00.0") | .init.pid' /run/runvf/claims/0*.json); do
        nsenter -n -t "$pid" ip link show mon0 | grep -q '[,<]LOWER_UP' || return
    done
}

all_rearmed_after_reset() {
    local vfs
    vfs=$(jq -s '[.[] | select(.pf == "0000:01:00.0")] | length' /run/runvf/claims/0*.json)
    pf_reset pfr
    sleep 0.5
    time_until all_up > /dev/null
    time_until all_have 1 "$vfs"
}
