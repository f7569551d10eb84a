#!/bin/bash
# Attaches and releases VFs, resets the PF and kills the monitor, at the same time. Then it waits for the end of all
# reactions, and checks the host. The container `a` lives all the time.
# Parameters: cycles, kills, seed.
# shellcheck source=fault_points.sh
source /tmp/functions
# shellcheck disable=SC2154
RANDOM=$seed

monitor_pid() { systemctl show -P MainPID runvf-monitor.service; }

killer() {
    local pid done=0
    # shellcheck disable=SC2154
    while [ $done -lt "$kills" ]; do
        sleep 0.$((RANDOM % 10))
        pid=$(monitor_pid)
        [ "$pid" = 0 ] || { kill -9 "$pid" && done=$((done + 1)); } 2> /dev/null
    done
    echo $done > /tmp/killed
}

resetter() {
    while [ ! -e /tmp/finished ]; do
        sleep $((RANDOM % 4 + 2))
        pf_reset pfr
    done
}

rm -f /tmp/finished /tmp/killed /tmp/wrong
killer &
killer_pid=$!
resetter &
resetter_pid=$!
# shellcheck disable=SC2154
for cycle in $(seq "$cycles"); do
    name=c$((cycle % 5)) vlan=$((20 + cycle % 5))
    end $name
    holder $name
    hook attach $name $vlan 2> /tmp/$name.err || echo "attach $cycle: $(cat /tmp/$name.err)" >> /tmp/refused
    # Each third container dies without a release, which the monitor or gc must notice.
    if [ $((cycle % 3)) != 0 ]; then
        end $name
        hook detach $name $vlan || echo "detach $cycle" >> /tmp/refused
    fi
done
for name in c0 c1 c2 c3 c4; do end $name; done
wait $killer_pid
touch /tmp/finished
wait $resetter_pid
time_until systemctl is-active runvf-monitor.service

only_a() { [ "$(jq -s -c 'map([.container, .state])' /run/runvf/claims/0*.json)" = '[["a","attached"]]' ]; }
time_until only_a || { jq -s -c 'map([.container, .state])' /run/runvf/claims/0*.json; exit 1; }
sees() { [ "$(claim .gap.until)" != null ] && [ -z "$(runvfctl gc)" ] && ! runvfctl status | grep -q 'may not be'; }
time_until sees || exit 1
dirty=$(ip -j link show pf0 | jq -c '[.[0].vfinfo_list[] | select(.trust or (.vlan_list[0].vlan // 0) != 0)] | length')
[ "$dirty" = 1 ] || { ip link show pf0; exit 1; }
[ -z "$(runvfctl status --json | jq -c '.[].vfs[] | select(.state == "quarantined" or .state == "lost")')" ] || exit 1
echo "$(cat /tmp/killed) kills, $(claim .blind.gaps) gaps of one sensor, $(wc -l < /tmp/refused 2> /dev/null || echo 0) attaches refused"
