#!/bin/bash
# Functions for the doors, each way to ask for a VF; the guest sources them. DOOR is docker (the runtime), podman (the
# runtime), hooks, docker-cdi, podman-cdi, network, pod or hand. A container is called by its NAME and sees its VF as
# mon0. The ids of pods are kept in $ids, which survives a boot.

ids=/var/tmp/ids
image=runvf/tcpdump
# SIGTERM ends it.
program='trap "exit 0" TERM; while :; do sleep 1 & wait; done'
mkdir -p $ids

# Opens the doors that runvf's programs alone do not open.
open_doors() {
    runvfctl install cdi > /dev/null
    jq '.features.cdi = true' /etc/docker/daemon.json > /tmp/new
    cat /tmp/new > /etc/docker/daemon.json
    systemctl restart docker
    # The VLANs of the configuration; the policy refuses a network with another one.
    for vlan in $(jq -r '.devices[].name' /etc/cdi/runvf-vlan.json); do
        podman network create --driver runvf --opt "vlan=$vlan" "vlan$vlan" > /dev/null || return
    done
}

# Starts a container. OPTION is one of docker and podman; a pod and a VF by hand have none.
start() {  # DOOR NAME VLAN [OPTION…]
    local door=$1 name=$2 vlan=$3
    shift 3
    local named=(-d --name "$name" "$@") alone=(--network none) annotated=(--annotation "io.runvf.vlan=$vlan")
    case $door in
    docker) docker run --runtime runvf "${named[@]}" "${alone[@]}" "${annotated[@]}" $image sh -c "$program" ;;
    podman) podman --runtime /usr/bin/runvf run "${named[@]}" "${alone[@]}" "${annotated[@]}" $image sh -c "$program" ;;
    hooks) podman run "${named[@]}" "${alone[@]}" "${annotated[@]}" $image sh -c "$program" ;;
    *-cdi) "${door%-cdi}" run "${named[@]}" "${alone[@]}" --device "runvf.io/vlan=$vlan" $image sh -c "$program" ;;
    network) podman run "${named[@]}" --network "vlan$vlan" $image sh -c "$program" ;;
    pod) start_pod "$name" "$vlan" ;;
    hand) start_by_hand "$name" "$vlan" ;;
    esac > /dev/null
}

start_pod() {  # NAME VLAN
    local sandbox container
    sandbox=$(cri-client pod runvf acme "$1" "io.runvf.vlan=$2") || return
    echo "$sandbox" > "$ids/$1.pod"
    container=$(cri-client create "$sandbox" sensor docker.io/$image:latest sleep 100000) || return
    echo "$container" > "$ids/$1.container"
    cri-client start "$container"
}

start_by_hand() {  # NAME VLAN
    ip netns add "$1" && runvfctl attach --vlan "$2" --netns "$1" || return
    ip netns exec "$1" sleep 100000 < /dev/null &> /dev/null &
    until [ -n "$(ip netns pids "$1")" ]; do sleep 0.01; done
}

# Runs a command in a container.
inside() {  # DOOR NAME COMMAND…
    local door=$1 name=$2
    shift 2
    case $door in
    docker*) docker exec "$name" "$@" ;;
    pod) cri-client exec "$(< "$ids/$name.container")" "$@" ;;
    hand) ip netns exec "$name" "$@" ;;
    *) podman exec "$name" "$@" ;;
    esac
}

# Prints what a container sees of its VF.
see() { inside "$1" "$2" cat /sys/class/net/mon0/ifalias /sys/class/net/mon0/carrier; }  # DOOR NAME

# Stops a container, which keeps its name.
stop() {  # DOOR NAME
    case $1 in
    docker*) docker stop -t 5 "$2" ;;
    pod) cri-client stop-pod "$(< "$ids/$2.pod")" ;;
    hand) end_by_hand "$2" && runvfctl release "$2" ;;
    *) podman stop -t 5 "$2" ;;
    esac > /dev/null
}

# Starts a stopped container again. kubelet makes a new sandbox for that.
again() {  # DOOR NAME VLAN
    case $1 in
    docker*) docker start "$2" ;;
    pod) remove pod "$2" && start_pod "$2" "$3" ;;
    hand) ip netns del "$2" && start_by_hand "$2" "$3" ;;
    *) podman start "$2" ;;
    esac > /dev/null
}

# Removes a container, also the remains of a failed start. Succeeds if its engine no longer knows it.
remove() {  # DOOR NAME
    case $1 in
    docker*) docker rm -f "$2" > /dev/null 2>&1 || ! docker inspect "$2" > /dev/null 2>&1 ;;
    pod) remove_pods "$2" ;;
    hand) remove_by_hand "$2" ;;
    *) podman rm -f -i -t 5 "$2" > /dev/null 2>&1 || ! podman container exists "$2" ;;
    esac
}

# A sandbox has no file if its creation has failed; the engine removes it.
remove_pods() {  # NAME
    [ -e "$ids/$1.pod" ] || return 0
    cri-client remove-pod "$(< "$ids/$1.pod")" > /dev/null 2>&1 || ! cri-client list | grep -q "$(< "$ids/$1.pod")" ||
        return
    rm "$ids/$1".*
}

remove_by_hand() {  # NAME
    [ -e "/run/netns/$1" ] || return 0
    end_by_hand "$1"
    # Without a claim there is nothing to release.
    runvfctl release "$1" > /dev/null 2>&1
    ip netns del "$1"
}

end_by_hand() {  # NAME
    local pids
    pids=$(ip netns pids "$1")
    # Unquoted, because these are several words.
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill -KILL $pids
    while [ -n "$(ip netns pids "$1")" ]; do sleep 0.01; done
}

# Kills the first process of a container.
kill_process() {  # DOOR NAME
    case $1 in
    docker*) kill -KILL "$(docker inspect -f '{{.State.Pid}}' "$2")" ;;
    pod) kill -KILL "$(jq .init.pid /run/runvf/claims/*.json)" ;;
    hand) end_by_hand "$2" ;;
    *) kill -KILL "$(podman inspect -f '{{.State.Pid}}' "$2")" ;;
    esac
}

# Kills the engine of a container, and starts it again. Podman has no daemon: conmon is its part that stays.
kill_engine() {  # DOOR NAME
    local pid
    case $1 in
    docker*)
        pid=$(pidof dockerd)
        kill -KILL "$pid"
        while [ -d "/proc/$pid" ]; do sleep 0.1; done
        systemctl reset-failed docker
        systemctl start docker
        ;;
    pod)
        systemctl kill -s KILL containerd
        systemctl start containerd
        until cri-client list > /dev/null 2>&1; do sleep 0.1; done
        ;;
    hand) ;;
    *)
        pid=$(podman inspect -f '{{.State.Pid}}' "$2")
        kill -KILL "$(podman inspect -f '{{.State.ConmonPid}}' "$2")" "$pid"
        while [ -e "/proc/$pid/ns/net" ]; do sleep 0.01; done
        ;;
    esac
}

# Gives all free VFs to a network namespace, one after the other.
hold_all_vfs() {
    local index=0
    ip netns add full
    while runvfctl attach --vlan 100 --netns full --name "tap$index" > /dev/null 2>&1; do index=$((index + 1)); done
    [ "$index" -gt 0 ]
}

release_all_vfs() {
    runvfctl release full > /dev/null
    ip netns del full
}

# Prints each VF that is not free and clean, and each claim.
not_free() {
    local pf
    ls /run/runvf/claims/*.json 2> /dev/null
    runvfctl status --json | jq -c '.[].vfs[] | select(.state != "free") | [.vf, .state, .reason]'
    for pf in /sys/class/net/pf*; do
        ip -j link show "${pf##*/}" | jq -c '.[0].vfinfo_list[]? | select(.trust or (.vlan_list[0].vlan // 0) != 0)'
    done
}

# Succeeds if no VF is on a VLAN without a claim: `status` takes such a VF for a foreign one.
no_free_vf_is_dirty() {
    runvfctl status --json | jq -e 'all(.[].vfs[]; .state != "foreign")' > /dev/null
}

# The next call of a program with the word VERB on its command line gets the environment variable SETTING.
prepare_fault() {  # VERB SETTING
    rm -f /run/fault.met
    echo "$1 $2" > /run/fault
}
