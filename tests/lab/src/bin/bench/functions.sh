# shellcheck shell=bash
# Functions for the scripts before and after the timed work. Installed as /tmp/bench.sh in the guest.
# shellcheck disable=SC2034 # the scripts that source this file use it
hook=/usr/libexec/runvf/runvf-hook
bundles=/var/lib/runvf-bundles
vf=0000:01:10.0

# Starts a process in a network namespace of its own. Writes its process id to /tmp/NAME.pid, and its state, as
# a runtime passes it to hooks, to /tmp/NAME.state.
holder() {  # NAME VLAN
    unshare -n sleep 100000 < /dev/null > /dev/null 2>&1 &
    local pid=$!
    echo $pid > "/tmp/$1.pid"
    until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
    echo "{\"ociVersion\":\"1.0.2\",\"id\":\"$1\",\"status\":\"creating\",\"bundle\":\"/\",\"pid\":$pid,
        \"annotations\":{\"io.runvf.vlan\":\"$2\"}}" > "/tmp/$1.state"
}

# Kills the process of a holder, and waits until it has left its network namespace.
end() {  # NAME
    local pid
    pid=$(cat "/tmp/$1.pid")
    kill -9 "$pid"
    while [ -e "/proc/$pid/ns/net" ]; do sleep 0.01; done
}

# 21 holders, c1 to c21, on VLANs 101 to 121.
hold_all() { for i in $(seq 21); do holder "c$i" $((100 + i)); done; }
end_all() { for i in $(seq 21); do end "c$i"; done; }
detach_all() {
    # Only these jobs, because holders may be jobs of the same shell.
    local jobs=()
    for i in $(seq 21); do
        $hook detach < "/tmp/c$i.state" &
        jobs+=($!)
    done
    wait "${jobs[@]}"
}

# Resets a VF that has no claim, as a release does: for the cases that attach without runvf.
reset_vf() {  # PF INDEX ADDRESS
    until [ -e "/sys/bus/pci/devices/$3/net" ]; do sleep 0.01; done
    echo "$3" > /sys/bus/pci/drivers/igbvf/unbind
    ip link set "$1" vf "$2" vlan 0 trust off
    echo "$3" > /sys/bus/pci/drivers/igbvf/bind
}
undo() {
    end bench
    reset_vf pf0 0 $vf
    settled
}
undo_all() {
    end_all
    local pf i
    for pf in pf0 pf1 pf2; do
        for i in 0 1 2 3 4 5 6; do
            reset_vf $pf $i "$(basename "$(readlink /sys/class/net/$pf/device/virtfn$i)")"
        done
    done
    settled
}

# Waits until the VF's netdev is in the host netns and udev has processed it.
settled() { until [ -e /sys/bus/pci/devices/$vf/net/enp1s0v0 ]; do sleep 0.01; done; udevadm settle; }
# Waits as `settled`, and fails if a claim exists or a VF of pf0 is not clean.
clean() {
    settled
    if [ -n "$(ls /run/runvf/claims)" ] || ip link show pf0 | grep -E 'vf .*(vlan|trust on)'; then
        echo "a VF was not released"
        return 1
    fi
}

# Selects the engine that makes runvf's containers.
engine() { echo "engine = \"$1\"" > /etc/runvf/runtime.toml; }

# Writes the bundle /tmp/NAME, which runs COMMAND (JSON) with the annotations in JSON.
bundle() {  # NAME COMMAND JSON
    mkdir -p "/tmp/$1"
    jq ".root.path = \"$bundles/tcpdump/rootfs\" | .annotations = $3 | .mounts |= map(select(.type != \"bind\"))
        | .process.args = $2" $bundles/tcpdump/config.json > "/tmp/$1/config.json"
}
