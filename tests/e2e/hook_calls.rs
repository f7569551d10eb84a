//! Containers without an engine: a process in a network namespace of its own, and the hooks called by hand for it.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lab::Lab;
use serde_json::Value;

/// By the shell's own means where it has some: an emulated CPU starts thirty programs a second.
const FUNCTIONS: &str = r#"
hook=/usr/libexec/runvf/runvf-hook

# A process NAME whose namespace gets a VF, and its state as a runtime hands it to hooks.
holder() {  # NAME VLAN
    unshare -n sleep 100000 </dev/null >/dev/null 2>&1 &
    echo $! > /tmp/$1.pid
    until [ -e /proc/$!/ns/net ] && ! [ /proc/$!/ns/net -ef /proc/self/ns/net ]; do :; done
    echo "{\"ociVersion\":\"1.0.2\",\"id\":\"$1\",\"status\":\"creating\",\"bundle\":\"/\",\"pid\":$!,
        \"annotations\":{\"io.runvf.vlan\":\"$2\"}}" > /tmp/$1.state
}
attach() { timeout 200 $hook attach < /tmp/$1.state; }
detach() { timeout 100 $hook detach < /tmp/$1.state; }
end() {
    local pid=$(< /tmp/$1.pid)
    kill -9 $pid
    while [ -e /proc/$pid/ns/net ]; do sleep 0.01; done
}

# Every VF that is on a VLAN.
vlans() {
    for pf in pf0 pf1 pf2; do
        ip -j link show $pf | jq -r '.[0].vfinfo_list[]? | "\(.vf) \(.vlan_list[0].vlan // 0) \(.trust)"' |
            while read -r index vlan trust; do
                [ $vlan = 0 ] && continue
                vf=$(readlink /sys/class/net/$pf/device/virtfn$index)
                echo "{\"vlan\":$vlan,\"trust\":$trust,\"vf\":\"${vf##*/}\"}"
            done
    done
}
# Whatever keeps a VF from being clean, home and free.
dirty() {
    ls /run/runvf/claims/*.json 2> /dev/null
    for pf in pf0 pf1 pf2; do
        ip -j link show $pf | jq -c '.[0].vfinfo_list[]? | select(.trust or (.vlan_list[0].vlan // 0) != 0)'
        for vf in /sys/class/net/$pf/device/virtfn*; do
            [ -e $vf ] || continue
            # Broadcast and multicast, and neither up nor promiscuous.
            { read -r flags < $(echo $vf/net/enp*/flags) && [ $flags = 0x1002 ]; } 2> /dev/null ||
                echo "$vf: $(grep . $vf/net/*/flags 2>&1)"
        done
    done
    runvfctl status --json | jq -c '.[].vfs[] | select(.state != "free") | [.vf, .state, .reason]'
}
"#;

/// Makes the functions known to [`sh`] and the like.
pub(crate) fn functions(lab: &Lab) {
    lab.write("/tmp/functions", FUNCTIONS).unwrap();
}

pub(crate) fn with(script: &str) -> String {
    format!("source /tmp/functions; {script}")
}

/// Every VF that is on a VLAN, as its PF tells: VLAN, trust, PCI address.
pub(crate) fn vlans(lab: &Lab) -> Vec<(u64, bool, String)> {
    let all = lab.json(&with("vlans | jq -s .")).unwrap();
    let one = |vf: &Value| {
        Some((vf["vlan"].as_u64()?, vf["trust"].as_bool()?, vf["vf"].as_str()?.to_owned()))
    };
    all.as_array().unwrap().iter().map(|vf| one(vf).unwrap()).collect()
}

/// That every VF of every PF is clean, home and free, once udev and the engines are through.
pub(crate) fn assert_free(lab: &Lab, case: &str) {
    let free = lab.wait_until(Duration::from_secs(120), &with("[ -z \"$(dirty)\" ]"));
    if free.is_err() {
        panic!("{case}:\n{}", lab.sh(&with("dirty; runvfctl status")).unwrap());
    }
}

/// What `runvfctl gc` says of each VF: PCI address, outcome, container.
pub(crate) fn gc(lab: &Lab) -> Vec<(String, String, String)> {
    let output = lab.sh("timeout 60 runvfctl gc --json").unwrap();
    let all: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output}"));
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let done = all.as_array().unwrap().iter();
    done.map(|one| (text(one, "vf"), text(one, "outcome"), text(one, "container"))).collect()
}

/// State and reason of a VF, as `runvfctl status` tells.
pub(crate) fn status(lab: &Lab, vf: &str) -> (String, String) {
    let query = format!(
        "timeout 30 runvfctl status --json | jq '.[].vfs[] | select(.vf == \"{vf}\") | [.state, .reason // \"\"]'"
    );
    let found = lab.json(&query).unwrap();
    let text = |index: usize| found[index].as_str().unwrap().to_owned();
    (text(0), text(1))
}

/// What chance begins with: `RUNVF_SEED`, or another number each time.
pub(crate) fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 32768;
    let seed = env::var("RUNVF_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
    eprintln!("RUNVF_SEED={seed}");
    seed
}
