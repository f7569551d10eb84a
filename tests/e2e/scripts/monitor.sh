#!/bin/bash
# Functions for the tests of the monitor; the guest sources them after fault_points.sh.

start_monitor() {
    systemctl daemon-reload
    systemctl start runvf-monitor.service
    systemctl is-active runvf-monitor.service
}

# A field of the claim on the first VF of pf0.
claim() {  # QUERY
    jq -c "$1" "/run/runvf/claims/$(basename "$(readlink /sys/class/net/pf0/device/virtfn0)").json"
}

now() {
    local time=${EPOCHREALTIME/./}
    echo $((time / 1000))
}

# Prints how many milliseconds after now the condition holds, or fails after 60 s.
time_until() {  # CONDITION…
    local begin
    begin=$(now)
    until "$@" &> /dev/null; do
        [ $(($(now) - begin)) -lt 60000 ] || { echo "never: $*"; return 1; }
    done
    echo $(($(now) - begin))
}

gap_is_open() { [ "$(claim '.gap != null and .gap.until == null')" = true ]; }
gaps_reach() { [ "$(claim .blind.gaps)" -ge "$1" ]; }

has_carrier() { link_of "$1" mon0 | grep -q '[,<]LOWER_UP'; }
# How often the VF of `a` has lost its carrier. `ip netns exec` mounts the sysfs of the netns, and needs a name for it.
carrier_losses() {
    [ -e /run/netns/a ] || ip netns attach a "$(< /tmp/a.pid)"
    ip netns exec a cat /sys/class/net/mon0/carrier_down_count
}
lost_carrier_after() { [ "$(carrier_losses)" != "$1" ]; }

# Resets the VF of `a` by a command, and prints how many milliseconds after its carrier is back the monitor has re-armed
# it.
rearmed_after() {  # COMMAND…
    local gaps downs
    gaps=$(claim .blind.gaps)
    downs=$(carrier_losses)
    "$@" || return
    time_until lost_carrier_after "$downs" > /dev/null || return
    time_until has_carrier a > /dev/null || return
    time_until gaps_reach $((gaps + 1))
}

pf_reset() { echo "$1" > /sys/kernel/debug/i40e/0000:01:00.0/command; }
reset_vf() { echo 1 > /sys/class/net/pf0/device/virtfn0/reset; }
inside() { nsenter -n -t "$(< /tmp/a.pid)" "$@"; }

vlan_is() { ip -j link show pf0 | jq -e ".[0].vfinfo_list[0] | .vlan_list[0].vlan == $1 and .trust and .link_state != \"disable\""; }
has_ended() { [ ! -e "/proc/$(< "/tmp/$1.pid")/ns/net" ]; }
no_claim() { [ -z "$(ls /run/runvf/claims)" ]; }
audited() { runvfctl audit --json | jq -e "[.[] | select(.event == \"$1\")] | length == $2"; }
said() { journalctl -u runvf-monitor -o cat --no-pager | grep -q "$1"; }

# Captures in the netns of `a` without reading anything.
start_deaf() {
    inside perl /tmp/deaf.pl "$(inside ip -j link show mon0 | jq '.[0].ifindex')" < /dev/null > /tmp/deaf.log 2>&1 &
    time_until grep -q listening /tmp/deaf.log
}

# One process holds the lock of pf0, so that a kill of it ends the lock.
hold_pf_lock() {
    local lock=/run/runvf/locks/0000:01:00.0.lock
    (flock 9 && exec sleep 1000) 9< $lock < /dev/null > /dev/null 2>&1 &
    echo $! > /tmp/lock.pid
    until ! flock -n $lock true; do :; done
}
release_pf_lock() { kill "$(< /tmp/lock.pid)"; }
