#!/bin/bash
# Functions for $all attaches at once. The first $hooked containers come through hooks, the others through `runvf create`.
: "${hooked:?}" "${all:?}"
# shellcheck source=hook_calls.sh
source /tmp/functions
bundle=/var/lib/runvf-bundles/tcpdump

# Prepares everything but the attach itself.
prepare_crowd() {
    local i
    rm -rf /tmp/crowd
    mkdir -p /tmp/crowd
    for i in $(seq "$hooked"); do holder "c$i" $((100 + i)); done
    for i in $(seq $((hooked + 1)) "$all"); do
        mkdir "/tmp/crowd/$i"
        rm -f "/tmp/c$i.pid"
        jq ".annotations[\"io.runvf.vlan\"] = \"$((100 + i))\" | .root.path = \"$bundle/rootfs\"" $bundle/config.json \
            > "/tmp/crowd/$i/config.json"
    done
}

# Becomes the process that attaches, as soon as the exclusive lock is released.
attempt() {  # NUMBER
    exec 8>&- 9< /tmp/go
    flock -s 9
    exec 9<&- > "/tmp/crowd/$1.out" 2>&1
    if [ "$1" -le "$hooked" ]; then exec "$hook" attach < "/tmp/c$1.state"; fi
    exec runvf create --bundle "/tmp/crowd/$1" --pid-file "/tmp/c$1.pid" "c$1" < /dev/null
}

# Starts all attaches at once, and kills KILLS of them, chosen at random, at random moments.
rush() {  # SEED KILLS
    local -a pids running
    local i pid
    RANDOM=$1
    exec 8> /tmp/go
    flock 8
    for i in $(seq "$all"); do
        attempt "$i" &
        pids[i]=$!
    done
    exec 8>&-
    for _ in $(seq "$2"); do
        sleep 0.$((RANDOM % 10))
        running=()
        for pid in "${pids[@]}"; do kill -0 "$pid" 2> /dev/null && running+=("$pid"); done
        [ ${#running[@]} = 0 ] || kill -9 "${running[RANDOM % ${#running[@]}]}"
    done
    for i in $(seq "$all"); do
        wait "${pids[i]}"
        echo $? > "/tmp/crowd/$i.status"
    done 2> /dev/null
}

# Prints the exit status, the output and the links of each container. One jq reads all files.
results() {
    local i pid files=()
    for i in $(seq "$all"); do
        pid=0
        [ ! -s "/tmp/c$i.pid" ] || pid=$(< "/tmp/c$i.pid")
        nsenter -n -t "$pid" ip -j -d link > "/tmp/crowd/$i.links" || echo '[]' > "/tmp/crowd/$i.links"
        files+=(--rawfile "status$i" "/tmp/crowd/$i.status" --rawfile "out$i" "/tmp/crowd/$i.out" --slurpfile "links$i" "/tmp/crowd/$i.links")
    done 2> /dev/null
    jq -n --arg all "$all" "${files[@]}" '$ARGS.named as $read | [range(1; ($read.all | tonumber) + 1) | tostring | {
        name: "c\(.)", status: $read["status\(.)"] | tonumber, out: $read["out\(.)"], links: $read["links\(.)"][0]
    }]'
}

end_crowd() {
    local i
    for i in $(seq "$hooked"); do end "c$i"; done 2> /dev/null
    for i in $(seq $((hooked + 1)) "$all"); do timeout 60 runvf delete --force "c$i"; done
}
