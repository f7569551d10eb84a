#!/bin/bash
# Runs $cycles containers with a VF of vfio-pci one after the other. Of each, it kills one process: the runtime at a random
# moment of its create, the container's program, or the runtime at a random moment of its delete. Afterwards `runvfctl gc`
# frees the VF. Prints the number of cycles, or what a cycle has left.
: "${cycles:?}" "${seed:?}"
# The lab ends a script at a failed command, and the commands that are killed here fail.
set +e
RANDOM=$seed
bundle=/tmp/vfio-bundle
cp -r --reflink=auto /var/lib/runvf-bundles/tcpdump $bundle
# The program has the IOMMU group open, so that its VF cannot be taken from it.
program='for node in /dev/vfio/[0-9]*; do exec 3<> "$node"; done; sleep 1000'
jq --arg program "$program" '.process.args = ["sh", "-c", $program] | .annotations["io.runvf.driver"] = "vfio-pci"' \
    /var/lib/runvf-bundles/tcpdump/config.json > $bundle/config.json

vfs() {
    local vf
    for vf in /sys/class/net/pf0/device/virtfn*; do
        echo "$(basename "$(readlink "$vf/driver")") $(< "$vf/driver_override")"
    done
    ip link show pf0 | grep -E 'vf .*(vlan|trust on)'
    ls -A /run/runvf/claims
}

# Kills a process after up to two seconds.
kill_later() {
    sleep "$((RANDOM % 2)).$(printf '%03d' $((RANDOM % 1000)))"
    kill -9 "$1" 2> /dev/null
    wait "$1" 2> /dev/null
}

fail() {
    echo "cycle $cycle with the seed $seed: $1"
    vfs
    runvfctl status
    exit 1
}

before=$(vfs)
for ((cycle = 1; cycle <= cycles; cycle++)); do
    id=cycle$cycle
    runvf create --bundle $bundle $id < /dev/null > /dev/null 2> /tmp/vfio.log &
    if ((cycle % 3 == 0)); then
        kill_later $!
    else
        wait $! || fail "create: $(< /tmp/vfio.log)"
        runvf start $id || fail start
        pid=$(runvf state $id | jq .pid)
        until readlink /proc/"$pid"/fd/* 2> /dev/null | grep -q '^/dev/vfio/[0-9]'; do
            [ -e /proc/"$pid" ] || fail 'the program has ended'
        done
        # A program that has the group open keeps its VF.
        [ -z "$(runvfctl gc)" ] || fail 'gc has changed the VF of a running program'
        if ((cycle % 3 == 1)); then
            kill -9 "$pid"
        else
            runvf delete --force $id 2> /dev/null &
            kill_later $!
        fi
    fi
    for ((tries = 0; tries < 60; tries++)); do
        runvf delete --force $id > /dev/null 2>&1
        runvfctl gc > /dev/null
        [ "$(vfs)" != "$before" ] || break
        sleep 0.5
    done
    [ "$(vfs)" = "$before" ] || fail 'the VF is not free and clean'
done
echo "$cycles cycles"
