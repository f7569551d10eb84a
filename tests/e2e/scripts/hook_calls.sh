#!/bin/bash
# Functions for containers without an engine; the guest sources them. They prefer what the shell does itself, because an
# emulated CPU starts only thirty programs a second.

hook=/usr/libexec/runvf/runvf-hook

# Starts a process in a netns of its own, and writes its state as a runtime hands it to hooks.
holder() {  # NAME VLAN
    unshare -n sleep 100000 < /dev/null > /dev/null 2>&1 &
    local pid=$!
    echo $pid > "/tmp/$1.pid"
    until [ -e /proc/$pid/ns/net ] && ! [ /proc/$pid/ns/net -ef /proc/self/ns/net ]; do :; done
    write_state "$1" $pid "$2"
}

write_state() {  # NAME PID VLAN [INTERFACE]
    echo "{\"ociVersion\":\"1.0.2\",\"id\":\"$1\",\"status\":\"creating\",\"bundle\":\"/\",\"pid\":$2,
        \"annotations\":{\"io.runvf.vlan${4:+.$4}\":\"$3\"}}" > "/tmp/$1.state"
}

# Starts another process in the netns of a holder.
join() {  # NAME HOLDER VLAN [INTERFACE]
    nsenter -n -t "$(< "/tmp/$2.pid")" sleep 100000 < /dev/null &> /dev/null &
    local pid=$!
    echo $pid > "/tmp/$1.pid"
    until [ /proc/$pid/ns/net -ef "/proc/$(< "/tmp/$2.pid")/ns/net" ]; do :; done
    write_state "$1" $pid "$3" "${4:-}"
}

attach() { timeout 200 "$hook" attach < "/tmp/$1.state"; }
detach() { timeout 100 "$hook" detach < "/tmp/$1.state"; }

# Kills the process and waits until its netns is released.
end() {  # NAME
    local pid
    pid=$(< "/tmp/$1.pid")
    kill -9 "$pid"
    while [ -e "/proc/$pid/ns/net" ]; do sleep 0.01; done
}

# Holds the lock of the first PF until `unlock`.
lock=/run/runvf/locks/0000:01:00.0.lock
lock() {
    flock "$lock" sleep 1000 < /dev/null &> /dev/null &
    lock_holder=$!
    until ! flock -n "$lock" true; do :; done
}
unlock() { pkill -P "$lock_holder" sleep; }

# Waits until a hook waits for the lock of the first PF.
wait_for_waiter() {
    SECONDS=0
    until readlink "/proc/$(pgrep -nx runvf-hook)/fd/"* 2> /dev/null | grep -qx "$lock"; do
        [ "$SECONDS" -lt 20 ] || return 1
        sleep 0.01
    done
}

# Prints each VF that has a VLAN.
vlans() {
    local pf index vlan trust vf
    for pf in /sys/class/net/pf*; do
        ip -j link show "${pf##*/}" | jq -r '.[0].vfinfo_list[]? | "\(.vf) \(.vlan_list[0].vlan // 0) \(.trust)"' |
            while read -r index vlan trust; do
                [ "$vlan" = 0 ] && continue
                vf=$(readlink "$pf/device/virtfn$index")
                echo "{\"vlan\":$vlan,\"trust\":$trust,\"vf\":\"${vf##*/}\"}"
            done
    done
}

# Prints each VF that is not clean and free: in the host netns, or without a driver if free VFs of the PF rest so.
dirty() {
    local pf vf files flags bound
    ls /run/runvf/claims/*.json 2> /dev/null
    for pf in /sys/class/net/pf*; do
        bound=$(< "$pf/device/sriov_drivers_autoprobe")
        ip -j link show "${pf##*/}" | jq -c '.[0].vfinfo_list[]? | select(.trust or (.vlan_list[0].vlan // 0) != 0)'
        for vf in "$pf/device/virtfn"*; do
            [ -e "$vf" ] || continue
            if [ "$bound" = 0 ]; then
                [ ! -e "$vf/driver" ] || echo "$vf has a driver"
                continue
            fi
            files=("$vf"/net/enp*/flags)
            # Broadcast and multicast, and neither up nor promiscuous.
            { read -r flags < "${files[0]}" && [ "$flags" = 0x1002 ]; } 2> /dev/null ||
                echo "$vf: $(grep . "$vf"/net/*/flags 2>&1)"
        done
    done
    runvfctl status --json | jq -c '.[].vfs[] | select(.state != "free") | [.vf, .state, .reason]'
}
