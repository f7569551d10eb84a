#!/bin/bash
# Functions for the tests of fault points; the guest sources them. They prefer what the shell does itself, because an
# emulated CPU starts only thirty programs a second. $first_vf is the PCI address of the first VF.
: "${first_vf:?}"

# Starts a process in a netns of its own. Its netns gets a VF.
holder() {  # NAME
    unshare -n sleep 100000 < /dev/null > /dev/null 2>&1 &
    local pid=$!
    until [ -e /proc/$pid/ns/net ] && ! [ /proc/$pid/ns/net -ef /proc/self/ns/net ]; do :; done
    echo $pid > "/tmp/$1.pid"
}

# Calls the hook as an engine does. $more is appended to the annotations.
hook() {  # COMMAND NAME VLAN
    echo "{\"id\":\"$2\",\"pid\":$(< "/tmp/$2.pid"),\"annotations\":{\"io.runvf.vlan\":\"$3\",
        \"io.runvf.mac\":\"02:00:00:00:00:$3\",\"io.runvf.mtu\":\"1400\"${more:-}}}" |
        timeout 100 /usr/libexec/runvf/runvf-hook "$1"
}

# Calls the netavark plugin as netavark does, with the options of `hook`.
plugin() {  # VERB NAME VLAN
    echo "{\"container_id\":\"$2\",\"container_name\":\"$2\",\"network\":{\"name\":\"acme\",\"driver\":\"runvf\",
        \"options\":{\"vlan\":\"$3\",\"mtu\":\"1400\",\"interface\":\"mon0\"}},
        \"network_options\":{\"interface_name\":\"eth0\",\"static_mac\":\"02:00:00:00:00:$3\"}}" |
        timeout 100 /usr/libexec/netavark/runvf "$1" "/proc/$(< "/tmp/$2.pid")/ns/net" > /tmp/answer
}

# Succeeds if the VF is attached; fails if the plugin only says so.
plugin_setup() {
    plugin setup a 11
    local status=$?
    [ $status = 0 ] || return $status
    grep -q '"mon0"' /tmp/answer && link_of a mon0 | grep -q '[,<]PROMISC.*[,<]UP'
}

wait_for_end() {  # NAME
    while [ -e "/proc/$(< "/tmp/$1.pid")/ns/net" ]; do sleep 0.01; done
}

end() {  # NAME
    [ -e "/tmp/$1.pid" ] || return 0
    kill -9 "$(< "/tmp/$1.pid")" 2> /dev/null
    wait_for_end "$1"
}

link_of() {  # NAME INTERFACE
    nsenter -n -t "$(< "/tmp/$1.pid")" ip -o link show "$2" 2>&1
}

# Succeeds if the VF is attached; fails if the hook only says so.
attach() {
    hook attach a 11 && link_of a mon0 | grep -q '[,<]PROMISC.*[,<]UP'
}

attach_pair() {
    local more=',"io.runvf.vlan.tap1":"12"'
    hook attach a 11 && link_of a tap1 | grep -q PROMISC
}

# Without a MAC address: verification would miss the address before it looks at VLAN and flags.
attach_without_mac() {
    echo "{\"id\":\"a\",\"pid\":$(< /tmp/a.pid),\"annotations\":{\"io.runvf.vlan\":\"11\"}}" |
        timeout 100 /usr/libexec/runvf/runvf-hook attach
}

# Succeeds if the hook refuses a tenant that does not exist.
refused() {
    local more=',"io.runvf.tenant":"none"' status
    hook attach a 11
    status=$?
    [ $status != 1 ] || return 0
    return $status
}

# Makes the audit log writable again after a procedure that runs without it.
mend_audit_log() { [ ! -e /var/log/runvf ] || chmod 750 /var/log/runvf; }

attach_another() {
    mend_audit_log
    holder b
    hook attach b 22
    echo "b: $?"
    link_of b mon0 | grep -q PROMISC && echo 'b is promiscuous'
}

# runvfctl exits with 3 as long as the netdev is not back in the host netns.
repair_unreadable() {
    local status
    for _ in $(seq 100); do
        timeout 100 runvfctl repair "$first_vf"
        status=$?
        [ $status = 3 ] || break
        sleep 0.1
    done
    return $status
}

# Runs a command that meets the fault.
broken() {  # FAULT COMMAND…
    export RUNVF_FAULT=$1
    shift
    "$@"
    echo "ended with $?"
    unset RUNVF_FAULT
}

# Runs a command and writes the fault points that it passes to /tmp/trace.
traced() {  # COMMAND…
    rm -f /tmp/trace
    export RUNVF_FAULT_LOG=/tmp/trace
    "$@"
    local status=$?
    unset RUNVF_FAULT_LOG
    return $status
}

# Runs a command with a driver that is busy once, and counts how often the driver was asked.
busy() {  # POINT COMMAND…
    local point=$1
    shift
    traced broken "$point:1:busy" "$@"
    grep -cx "$point" /tmp/trace
}

# The next gc finishes an interrupted one.
gc_again() {
    timeout 100 runvfctl gc
    for _ in $(seq 500); do
        [ -e "/proc/$(< /tmp/a.pid)/ns/net" ] || break
        sleep 0.01
    done
    [ ! -e "/proc/$(< /tmp/a.pid)/ns/net" ] || echo 'a is alive'
}

# Ends all containers and repairs, as an operator does.
clean_up() {
    mend_audit_log
    end a
    end b
    runvfctl gc
    echo after gc:
    grep -hzoE '"state":\s*(\{\s*)?"[a-z]+"' /run/runvf/claims/0*.json 2> /dev/null
    echo
    echo after that:
    runvfctl repair
    local claim
    for claim in /run/runvf/claims/0*.json; do
        [ ! -e "$claim" ] || grep -q nonce "$claim" || runvfctl repair "$(basename "$claim" .json)"
    done
    udevadm settle
}

# Puts pf0 into the state after a boot.
reset_pf() {
    echo 0 > /sys/class/net/pf0/device/sriov_numvfs
    ip link set pf0 down promisc off
}

# Breaks a setup, and runs another one, which must succeed.
broken_setup() {  # FAULT
    reset_pf
    broken "$1" timeout 100 runvfctl setup
    timeout 100 runvfctl setup || return
    [ "$(cat /sys/class/net/pf0/device/sriov_numvfs)" = 2 ] && ip link show pf0 | grep -q 'PROMISC.*,UP'
}

# Makes the VF of a container blind.
turn_promiscuity_off() {  # NAME
    nsenter -n -t "$(< "/tmp/$1.pid")" ip link set mon0 promisc off allmulticast off
}

# Succeeds if the VF is promiscuous again, and the log has its gap once.
rearmed() {  # NAME
    timeout 100 runvfctl gc
    link_of "$1" mon0 | grep -q '[,<]PROMISC' || return
    ip link show pf0 | grep -q '[,<]PROMISC' || return
    [ "$(runvfctl audit --container "$1" | grep -c ' blind ')" = 1 ]
}

# Breaks the parking of two VFs, or its undo. Another run of both must succeed.
broken_parking() {  # FAULT
    broken "$1" timeout 100 runvfctl setup
    timeout 100 runvfctl setup || return
    ! ls /sys/class/net/pf0/device/virtfn*/driver 2> /dev/null || return
    broken "$1" timeout 100 runvfctl setup --undo
    timeout 100 runvfctl setup --undo || return
    local bound=(/sys/class/net/pf0/device/virtfn*/driver)
    [ ${#bound[@]} = 2 ] || return
    [ "$(cat /sys/class/net/pf0/device/sriov_drivers_autoprobe)" = 1 ] && [ -z "$(ls /run/runvf/parked)" ]
}

# The settings of the first VF that an operator has changed.
settings() {
    ip link show enp1s0v0 2> /dev/null | grep -oE 'mtu [0-9]+|qlen [0-9]+|alias .*'
    ethtool -k enp1s0v0 2> /dev/null | grep '^generic-seg'
}

# Prints the parts of a snapshot, each after a mark.
look() {  # MARK
    local file files vf value
    echo "$1"
    ip -j link show pf0
    echo "$1"
    cat /run/runvf/claims/0*.json 2> /dev/null
    echo "$1"
    for file in /run/runvf/claims/*; do [ ! -e "$file" ] || echo "${file##*/}"; done
    echo "$1"
    for vf in /sys/class/net/pf0/device/virtfn*; do
        [ -e "$vf/driver" ] || continue
        files=("$vf"/net/*/flags)
        if [ -e "${files[0]}" ]; then cat "${files[0]}"; else echo away; fi
    done
    for file in /sys/class/net/pf0/device/virtfn*/driver_override; do
        [ -e "$file" ] || continue
        value=$(< "$file")
        [ "$value" = '(null)' ] || echo "$value"
    done
    echo "$1"
    for file in /run/runvf/claims/0*.json; do
        [ -e "$file" ] || continue
        [[ $(< "$file") =~ '"state": "attached"'.*'"interface": "'([a-z0-9]+)'"'.*'"init": {'[^}]*'"pid": '([0-9]+) ]] || continue
        [ -e "/proc/${BASH_REMATCH[2]}/ns/net" ] || continue
        nsenter -n -t "${BASH_REMATCH[2]}" ip -j link show "${BASH_REMATCH[1]}" || echo '[]'
    done 2> /dev/null
}
