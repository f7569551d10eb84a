# shellcheck shell=bash
# Functions for the scripts before and after the timed work. Installed as /tmp/bench.sh in the guest.
# shellcheck disable=SC2034 # the scripts that source this file use it
hook=/usr/libexec/runvf/runvf-hook
bundles=/var/lib/runvf-bundles
# The PFs, the number of containers at once, the first VF with the name of its netdev, and the VFs' driver.
case $(< /tmp/bench.nic) in
82576) pfs=(pf0 pf1 pf2) crowd=21 vf=0000:01:10.0 netdev=enp1s0v0 vf_driver=igbvf ;;
x710) pfs=(pf0) crowd=20 vf=0000:01:02.0 netdev='' vf_driver=iavf ;;
esac

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

# The holders c1, c2, … on VLANs from 101 on.
hold_all() { for i in $(seq "$crowd"); do holder "c$i" $((100 + i)); done; }
end_all() { for i in $(seq "$crowd"); do end "c$i"; done; }
detach_all() {
    # Only these jobs, because holders may be jobs of the same shell.
    local jobs=()
    for i in $(seq "$crowd"); do
        $hook detach < "/tmp/c$i.state" &
        jobs+=($!)
    done
    wait "${jobs[@]}"
}

address() { basename "$(readlink "/sys/class/net/$1/device/virtfn$2")"; }  # PF INDEX
is_bound() { [ -e "/sys/bus/pci/devices/$1/driver" ]; }  # ADDRESS
is_parking() { [ "$(< "/sys/class/net/$1/device/sriov_drivers_autoprobe")" = 0 ]; }  # PF

# Gives a VF its driver and waits for its netdev, as the floor and the script expect it.
bind_vf() {  # PF INDEX
    local device address
    address=$(address "$1" "$2") device=/sys/bus/pci/devices/$address
    if ! is_bound "$address"; then
        echo "$vf_driver" > "$device/driver_override"
        echo "$address" > /sys/bus/pci/drivers_probe
        echo > "$device/driver_override"
    fi
    until [ -n "$(ls "$device/net" 2> /dev/null)" ]; do sleep 0.01; done
    udevadm settle
}
bind_all() { for i in $(seq 0 $((crowd / ${#pfs[@]} - 1))); do for pf in "${pfs[@]}"; do bind_vf "$pf" "$i"; done; done; }

# Resets VFs that have no claim, as a release does: for the cases that attach without runvf.
reset_vfs() {  # PF INDEX…
    local pf=$1 index address jobs=()
    shift
    for index in "$@"; do
        address=$(address "$pf" "$index")
        until [ -e "/sys/bus/pci/devices/$address/net" ]; do sleep 0.01; done
        echo "$address" > /sys/bus/pci/drivers/"$vf_driver"/unbind &
        jobs+=($!)
    done
    wait "${jobs[@]}"
    # i40e refuses changes during the resets that follow.
    ! is_parking "$pf" || sleep 1
    for index in "$@"; do ip link set "$pf" vf "$index" vlan 0 trust off; done
    is_parking "$pf" || for index in "$@"; do address "$pf" "$index" > /sys/bus/pci/drivers/"$vf_driver"/bind; done
}
undo() {
    end bench
    reset_vfs pf0 0
    settled
}
undo_all() {
    end_all
    local pf
    for pf in "${pfs[@]}"; do
        # shellcheck disable=SC2046 # one word for each index
        reset_vfs "$pf" $(seq 0 $((crowd / ${#pfs[@]} - 1)))
    done
    settled
}

# Waits until a free VF rests as it should: without its driver, or with its netdev in the host netns and after udev has
# processed it.
settled() {
    if is_parking pf0; then
        while is_bound "$vf"; do sleep 0.01; done
    else
        until [ -e "/sys/bus/pci/devices/$vf/net/$netdev" ]; do sleep 0.01; done
    fi
    udevadm settle
}
# Waits as `settled`, and fails if a claim exists or a VF of pf0 is not clean. Counts the releases that ended at their
# time limit, and lets gc finish them.
clean() {
    local left
    left=$(find /run/runvf/claims -name '*.json' | wc -l)
    if [ "$left" != 0 ]; then
        echo "$left" >> /tmp/bench.left
        runvfctl gc
    fi
    settled
    if [ -n "$(ls /run/runvf/claims)" ] || ip link show pf0 | grep -E 'vf .*(vlan|trust on)'; then
        echo "a VF was not released"
        return 1
    fi
}

# Writes a configuration with one pool of these PFs.
config() {  # PF…
    local list
    printf -v list '"%s", ' "$@"
    printf '[[pool]]\nname = "sensors"\npfs = [%s]\n' "${list%, }" > /etc/runvf/config.toml
}
config_all() { config "${pfs[@]}"; }

# Destroys all VFs of a PF.
without_vfs() { echo 0 > "/sys/class/net/$1/device/sriov_numvfs"; }  # PF
# Creates all VFs of all PFs of the configuration.
setup_all() {
    runvfctl setup
    udevadm settle
}

# Selects the engine that makes runvf's containers.
engine() { echo "engine = \"$1\"" > /etc/runvf/runtime.toml; }

# Writes the bundle /tmp/NAME, which runs COMMAND (JSON) with the annotations in JSON.
bundle() {  # NAME COMMAND JSON
    mkdir -p "/tmp/$1"
    jq ".root.path = \"$bundles/tcpdump/rootfs\" | .annotations = $3 | .mounts |= map(select(.type != \"bind\"))
        | .process.args = $2" $bundles/tcpdump/config.json > "/tmp/$1/config.json"
}
