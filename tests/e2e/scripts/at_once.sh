# shellcheck shell=bash
# Functions for many attaches and releases at once.
hook=/usr/libexec/runvf/runvf-hook

# Starts COUNT processes in network namespaces of their own, and writes their states for the hook.
hold_all() {  # COUNT
    local i pid
    for i in $(seq "$1"); do
        unshare -n sleep 1000 < /dev/null > /dev/null 2>&1 &
        pid=$!
        until [ -e "/proc/$pid/ns/net" ] && ! [ "/proc/$pid/ns/net" -ef /proc/self/ns/net ]; do :; done
        echo "$pid" > "/tmp/c$i.pid"
        echo "{\"id\":\"c$i\",\"pid\":$pid,\"annotations\":{\"io.runvf.vlan\":\"$((100 + i))\"}}" > "/tmp/c$i.state"
    done
}

# Kills them, and waits until they have left their network namespaces.
end_all() {  # COUNT
    local i pid
    for i in $(seq "$1"); do
        pid=$(< "/tmp/c$i.pid")
        kill -9 "$pid"
        while [ -e "/proc/$pid/ns/net" ]; do sleep 0.01; done
    done
}

# Calls the hook for all of them at once. Fails if a call fails or complains.
all_at_once() {  # attach|detach COUNT
    local i jobs=() failed=0
    for i in $(seq "$2"); do
        timeout 100 $hook "$1" < "/tmp/c$i.state" > "/tmp/c$i.out" 2>&1 &
        jobs+=($!)
    done
    for i in "${jobs[@]}"; do wait "$i" || failed=1; done
    cat /tmp/c*.out
    [ $failed = 0 ] && [ -z "$(cat /tmp/c*.out)" ]
}
