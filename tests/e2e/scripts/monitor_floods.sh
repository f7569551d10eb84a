#!/bin/bash
# Floods the monitor with events and bad input. After each, it must be the same process, small, and react again.
# shellcheck source=fault_points.sh
source /tmp/functions

monitor_pid() { systemctl show -P MainPID runvf-monitor.service; }
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$(monitor_pid)/status"; }
first=$(monitor_pid)

check() {  # CASE [MILLISECONDS]
    local took limit=${2:-5000}
    [ "$(monitor_pid)" = "$first" ] || { echo "$1: another process"; exit 1; }
    [ "$(resident)" -lt 32768 ] || { echo "$1: $(resident) KiB"; exit 1; }
    took=$(rearmed_after pf_reset pfr) || { echo "$1: never re-armed"; exit 1; }
    [ "$took" -le "$limit" ] || { echo "$1: re-armed only after $took ms"; exit 1; }
    echo "$1: $(resident) KiB, re-armed after $took ms"
}

# Changes the link `flood` 10,000 times.
flood() {  # COMMAND-PREFIX…
    local batch=/tmp/batch
    for _ in $(seq 5000); do printf 'link set dev flood mtu 1400\nlink set dev flood mtu 1500\n'; done > $batch
    "$@" ip -batch $batch
}

ip link add flood type dummy
flood
check 'links of the host'

inside ip link add flood type dummy
flood inside
check 'links of a container'

for n in $(seq 10000); do echo "link add x$n type dummy"; done > /tmp/many
inside ip -batch /tmp/many
check '10,000 links in a container'
# The VF is re-armed under a name that is not UTF-8, too.
strange=$(printf 'mon\377')
gaps=$(claim .blind.gaps)
inside ip link set mon0 name "$strange"
pf_reset pfr
time_until gaps_reach $((gaps + 1)) > /dev/null || { echo 'a strange name: never re-armed'; exit 1; }
inside ip link set "$strange" name mon0
check 'a strange name'

for _ in $(seq 200); do
    inside ip link set mon0 promisc off
    inside ip link set mon0 promisc on
done
# The entries of one VF are limited.
[ "$(runvfctl audit --json | jq '[.[] | select(.event == "blind")] | length')" -lt 100 ] || { echo 'too many entries'; exit 1; }
sleep 61
check 'promiscuity off and on'

echo '{' > /run/runvf/claims/0000:01:02.7.json
mkfifo /run/runvf/claims/0000:01:02.6.json
mkdir /run/runvf/claims/0000:01:02.5.json
check 'unreadable claims'
rm -r /run/runvf/claims/0000:01:02.[567].json

date -s '-1 hour' > /dev/null
check 'a clock that was set back'
date -s '+2 hours' > /dev/null
check 'a clock that was set forward'

mkdir -p /tmp/full && mount -t tmpfs -o size=4k none /tmp/full && cp /dev/zero /tmp/full/zero 2> /dev/null
mount --bind /tmp/full /var/log/runvf
check 'a full disk'
umount /var/log/runvf
[ "$(runvfctl gc > /dev/null; runvfctl audit --json | jq '[.[] | select(.event == "blind")] | length')" -gt 0 ] ||
    { echo 'no entry after a full disk'; exit 1; }

flock /run/runvf/locks/0000:01:00.0.lock sleep 5 &
# Within 3 s after the lock is free.
check 'a lock that is held for 5 s' 8000

inside ip link set mon0 netns 1
time_until has_ended a > /dev/null || { echo 'a container without its VF: never stopped'; exit 1; }
[ "$(monitor_pid)" = "$first" ] || { echo 'a container without its VF: another process'; exit 1; }
echo 'a container that gave its VF away was stopped'
