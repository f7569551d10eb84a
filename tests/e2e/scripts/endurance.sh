#!/bin/bash
# Workers that run one container after the other, and a killer that ends processes of runvf and of the engines.
# Each worker is a process with a $name and a $vlan of its own:
# shellcheck disable=SC2031
# shellcheck source=hook_calls.sh
source /tmp/functions
bundle=/var/lib/runvf-bundles/tcpdump
image=runvf/tcpdump
# A process without the VF prints 0, and so differs from a process that never ran.
look='cat /sys/class/net/mon0/carrier 2> /dev/null || echo 0'
cd /tmp/soak || exit

# Each worker runs one container from its beginning to its end, with $name and $vlan. It prints what the process of the
# container saw: 1, or nothing if that process never ran.
docker() {
    timeout 300 /usr/bin/docker run --rm --network none --runtime runvf --annotation io.runvf.vlan="$vlan" --name "$name" $image sh -c "$look"
}
podman_hooks() {
    timeout 300 podman run --rm --network none --annotation io.runvf.vlan="$vlan" --name "$name" $image sh -c "$look"
}
podman_runtime() {
    timeout 300 podman --runtime /usr/bin/runvf run --rm --network none --annotation io.runvf.vlan="$vlan" --name "$name" $image sh -c "$look"
}
bare_run() {
    write_config run
    timeout 120 runvf run --bundle "$name" "$name" < /dev/null
}
bare_create() {
    write_config create
    timeout 120 runvf create --bundle "$name" --pid-file "$name/pid" "$name" < /dev/null &> "$name/log" || {
        cat "$name/log" >&2
        return 1
    }
    timeout 120 runvf start "$name" && count_carriers "$name/pid"
    local status=$?
    timeout 120 runvf delete --force "$name"
    return $status
}
hooks() {
    holder "$name" "$vlan"
    attach "$name" && count_carriers "/tmp/$name.pid"
    local status=$?
    end "$name"
    detach "$name"
    return $status
}
more_hooks() { hooks; }

# As $look, from outside of the container.
count_carriers() { nsenter -n -t "$(cat "$1")" ip link show mon0 | grep -c LOWER_UP; }

write_config() {
    mkdir -p "$name"
    sed "s/@vlan@/$vlan/" "$1.json" > "$name/config.json"
}
for how in "run:[\"sh\", \"-c\", \"$look\"]" 'create:["sleep", "1000"]'; do
    jq ".annotations[\"io.runvf.vlan\"] = \"@vlan@\" | .root.path = \"$bundle/rootfs\" | .process.args = ${how#*:}" \
        $bundle/config.json > "${how%%:*}.json"
done

work() {  # WORKER COUNT FIRST_VLAN
    local i name vlan status out
    for i in $(seq "$2"); do
        name=$1-$i vlan=$(($3 + i % 190))
        "$1" > "$1.out" 2> "$1.err"
        status=$? out=$(< "$1.out")
        # A process must never run without its VF, whether something was killed or not.
        case $status:$out in
        0:1) echo "$i" >> "$1.done" ;;
        0:* | *:0) echo "$name ended with $status and saw '$out': $(cat "$1.err")" >> wrong ;;
        *) echo "$name: $status: $(tr '\n' ' ' < "$1.err")" >> "$1.failed" ;;
        esac
        [ ! -s "$1.err" ] || cat "$1.err" >> "$1.log"
        [ ! -e "$name" ] || rm -r "$name"
    done
}

count_ended() {
    local file lines count=0
    for file in *.done *.failed; do
        [ ! -e "$file" ] || { mapfile -t lines < "$file"; count=$((count + ${#lines[@]})); }
    done
    echo $count
}

# Kills one process for every five containers that end. Kills by the clock would hit every container of Docker on a slow
# machine.
killer() {  # SEED
    RANDOM=$1
    # First each name once, because a shim nearly always runs and a hook or a conmon hardly ever does; then by chance,
    # with weights under which most containers of Docker survive.
    local first=(containerd-shim conmon runvf-hook runvf) names=(runvf runvf runvf runvf-hook runvf-hook conmon conmon containerd-shim)
    local name process running victims next=0 kills=0
    while [ ! -e finished ]; do
        sleep 0.$((RANDOM % 5))
        [ "$(count_ended)" -lt $next ] && continue
        name=${first[kills]:-${names[RANDOM % ${#names[@]}]}}
        mapfile -t running < <(pgrep -l -x 'runvf|runvf-hook|conmon|containerd-shim')
        victims=()
        for process in "${running[@]}"; do [ "${process#* }" != "$name" ] || victims+=("$process"); done
        # On a slow machine, a process of this name is hardly ever there at this moment.
        if [ ${#victims[@]} = 0 ] && [ $kills -ge ${#first[@]} ]; then
            for process in "${running[@]}"; do [[ ${process#* } != runvf* ]] || victims+=("$process"); done
        fi
        [ ${#victims[@]} = 0 ] && continue
        process=${victims[RANDOM % ${#victims[@]}]}
        kill -9 "${process% *}" && echo "${process#* }" >> killed && next=$(($(count_ended) + 5)) kills=$((kills + 1))
    done 2> /dev/null
}

soak() {  # SEED WORKER:COUNT…
    local seed=$1 vlan=100 worker workers=()
    shift
    killer "$seed" &
    for worker; do
        work "${worker%:*}" "${worker#*:}" $vlan &
        workers+=($!)
        vlan=$((vlan + 200))
    done
    wait "${workers[@]}"
    touch finished
    wait
}
