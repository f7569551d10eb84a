# Sourced by the scripts around what is timed.
hook=/usr/libexec/runvf/runvf-hook
bundles=/var/lib/runvf-bundles
vf=0000:01:10.0

# A process NAME whose namespace gets a VF, and its state as a runtime hands it to hooks.
holder() {  # NAME VLAN
    unshare -n sleep 100000 < /dev/null > /dev/null 2>&1 &
    echo $! > /tmp/$1.pid
    until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
    echo "{\"ociVersion\":\"1.0.2\",\"id\":\"$1\",\"status\":\"creating\",\"bundle\":\"/\",\"pid\":$!,
        \"annotations\":{\"io.runvf.vlan\":\"$2\"}}" > /tmp/$1.state
}
end() { kill -9 $(cat /tmp/$1.pid); while [ -e /proc/$(cat /tmp/$1.pid)/ns/net ]; do sleep 0.01; done; }

# What a release does, for those cases that nobody releases.
undo() {
    end bench
    until [ -e /sys/bus/pci/devices/$vf/net ]; do sleep 0.01; done
    echo $vf > /sys/bus/pci/drivers/igbvf/unbind
    ip link set pf0 vf 0 vlan 0 trust off
    echo $vf > /sys/bus/pci/drivers/igbvf/bind
    settled
}
undo_all() {
    for i in $(seq 21); do end c$i; done
    local pf i
    for pf in 0 1 2; do
        for i in 0 1 2 3 4 5 6; do
            one=$(basename $(readlink /sys/class/net/pf$pf/device/virtfn$i))
            until [ -e /sys/bus/pci/devices/$one/net ]; do sleep 0.01; done
            echo $one > /sys/bus/pci/drivers/igbvf/unbind
            ip link set pf$pf vf $i vlan 0 trust off
            echo $one > /sys/bus/pci/drivers/igbvf/bind
        done
    done
    settled
}
# The VF is home and udev through with it.
settled() { until [ -e /sys/bus/pci/devices/$vf/net/enp1s0v0 ]; do sleep 0.01; done; udevadm settle; }
clean() { [ -z "$(ls /run/runvf/claims)" ] && ! ip link show pf0 | grep -qE 'vf .*(vlan|trust on)'; settled; }

# Who makes runvf's containers from now on.
engine() { echo "engine = \"$1\"" > /etc/runvf/runtime.toml; }

# A bundle NAME that runs COMMAND, with the annotations of JSON.
bundle() {  # NAME COMMAND JSON
    mkdir -p /tmp/$1
    jq ".root.path = \"$bundles/tcpdump/rootfs\" | .annotations = $3 | .mounts |= map(select(.type != \"bind\"))
        | .process.args = $2" $bundles/tcpdump/config.json > /tmp/$1/config.json
}
