//! More containers than VFs, all at once: as many get one as there are, each its own, and the others are told why not.

use std::collections::BTreeSet;
use std::time::Duration;

use lab::{BothCpus, Lab};
use serde_json::Value;

use crate::hook_calls::{assert_free, functions, gc, seed, vlans, with};
use crate::host::{assert_untouched, installed, state};

/// Container `c1` asks for VLAN 101, and so on. The first 30 come through hooks, the others through `runvf create`.
const ALL: usize = 40;
const VFS: usize = 21;
const LIMIT: Duration = Duration::from_secs(400);

const CROWD: &str = r#"
source /tmp/functions
bundle=/var/lib/runvf-bundles/tcpdump

# Everything but the attach itself.
gather() {
    rm -rf /tmp/crowd; mkdir -p /tmp/crowd
    for i in $(seq 30); do holder c$i $((100 + i)); done
    for i in $(seq 31 40); do
        mkdir /tmp/crowd/$i
        rm -f /tmp/c$i.pid
        jq ".annotations[\"io.runvf.vlan\"] = \"$((100 + i))\" | .root.path = \"$bundle/rootfs\"" $bundle/config.json \
            > /tmp/crowd/$i/config.json
    done
}
# Becomes the process that attaches, as soon as nobody holds the lock alone.
attempt() {
    exec 8>&- 9< /tmp/go
    flock -s 9
    exec 9<&- > /tmp/crowd/$1.out 2>&1
    if [ $1 -le 30 ]; then exec $hook attach < /tmp/c$1.state; fi
    exec runvf create --bundle /tmp/crowd/$1 --pid-file /tmp/c$1.pid c$1 < /dev/null
}
# KILLS of them, chosen at random, are killed at random moments.
rush() {  # SEED KILLS
    local -a pids; local i running
    RANDOM=$1
    exec 8> /tmp/go; flock 8
    for i in $(seq 40); do attempt $i & pids[i]=$!; done
    exec 8>&-
    for _ in $(seq $2); do
        sleep $((RANDOM % 2)).$((RANDOM % 10))
        running=()
        for pid in ${pids[@]}; do kill -0 $pid 2> /dev/null && running+=($pid); done
        [ ${#running[@]} = 0 ] || kill -9 ${running[RANDOM % ${#running[@]}]}
    done
    for i in $(seq 40); do wait ${pids[i]}; echo $? > /tmp/crowd/$i.status; done 2> /dev/null
}
# Who came through with what.
results() {
    for i in $(seq 40); do
        jq -n --arg name c$i --argjson status $(cat /tmp/crowd/$i.status) --rawfile out /tmp/crowd/$i.out \
            --argjson links "$(nsenter -n -t $(cat /tmp/c$i.pid || echo 0) ip -j -d link || echo '[]')" \
            '{$name, $status, $out, $links}' 2> /tmp/crowd/error
    done 2> /dev/null
}
disperse() {
    for i in $(seq 30); do end c$i; done 2> /dev/null
    for i in $(seq 31 40); do timeout 60 runvf delete --force c$i; done
}
"#;

/// Three PFs in one pool, each with all the VFs it can have.
fn host() -> (Lab, BothCpus) {
    let lab = installed();
    let both = lab.use_both_cpus().unwrap();
    functions(&lab);
    lab.write("/tmp/functions.crowd", CROWD).unwrap();
    lab.ok("for pf in pf0 pf1 pf2; do echo 7 > /sys/class/net/$pf/device/sriov_numvfs; done")
        .unwrap();
    assert_free(&lab, "before");
    (lab, both)
}

fn crowd(lab: &Lab, script: &str) -> String {
    let script = format!("source /tmp/functions.crowd; {script}");
    lab.sh_within(LIMIT, &script).unwrap().stdout
}

fn results(lab: &Lab) -> Vec<Value> {
    let text = crowd(lab, "results | jq -s .");
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(all.len(), ALL);
    all
}

/// The one VF in a container, which must be up and promiscuous.
fn vf_inside(container: &Value) -> Option<String> {
    let links = container["links"].as_array().unwrap();
    let mon0 = links.iter().find(|link| link["ifname"] == "mon0")?;
    let flags = mon0["flags"].as_array().unwrap();
    assert!(["UP", "PROMISC"].iter().all(|flag| flags.contains(&(*flag).into())), "{mon0}");
    Some(mon0["parentdev"].as_str().unwrap().to_owned())
}

fn vlan_of(container: &Value) -> u64 {
    container["name"].as_str().unwrap()[1..].parse::<u64>().unwrap() + 100
}

/// Told so in one line, and left with nothing.
fn assert_refused(loser: &Value) {
    let out = loser["out"].as_str().unwrap();
    assert!(out.starts_with("runvf: no free VF in pool `sensors`: "), "{loser}");
    assert_eq!(out.lines().count(), 1, "{loser}");
    let links = loser["links"].as_array().unwrap();
    assert!(links.iter().all(|link| link["ifname"] == "lo"), "{loser}");
}

#[test]
fn forty_at_once_share_twenty_one_vfs() {
    let (lab, _both) = host();
    let before = state(&lab);
    // The second time on VFs that have all been used.
    for _ in 0..2 {
        once(&lab);
        assert_free(&lab, "after all were released");
        assert_untouched(&lab, &before);
    }
}

fn once(lab: &Lab) {
    crowd(lab, "gather; rush 0 0");
    let (winners, losers): (Vec<_>, Vec<_>) =
        results(lab).into_iter().partition(|one| one["status"] == 0);
    assert_eq!(winners.len(), VFS, "losers: {losers:#?}");

    let mut expected: Vec<_> =
        winners.iter().map(|one| (vlan_of(one), true, vf_inside(one).unwrap())).collect();
    let mut found = vlans(lab);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let distinct: BTreeSet<_> = found.iter().map(|(_, _, vf)| vf).collect();
    assert_eq!(distinct.len(), VFS);

    losers.iter().for_each(assert_refused);
    let claims = lab.ok("cd /run/runvf/claims; cat *.json | jq -r .container | sort").unwrap();
    let mut holders: Vec<_> = winners.iter().map(|one| one["name"].as_str().unwrap()).collect();
    holders.sort_unstable();
    assert_eq!(claims.text().lines().collect::<Vec<_>>(), holders);
    let containers = lab.ok("runvf list --format json | jq length").unwrap();
    let created = winners.iter().filter(|one| vlan_of(one) > 130).count();
    assert_eq!(containers.text(), created.to_string(), "a refused container is not there");

    crowd(lab, "disperse; for i in $(seq 30); do detach c$i; done");
}

#[test]
fn killed_in_a_crowd_nobody_keeps_a_vf() {
    let (lab, _both) = host();
    let seed = seed();
    let namespaces = "readlink /proc/[0-9]*/ns/net 2>/dev/null | sort -u | wc -l";
    let before = lab.sh(namespaces).unwrap().stdout;
    for round in 0..2 {
        let case = format!("RUNVF_SEED={seed}, round {round}");
        crowd(&lab, &format!("gather; rush {} 16", seed + round));
        let all = results(&lab);
        let killed = all.iter().filter(|one| one["status"] == 137).count();
        assert!(killed > 0, "{case}: too late for all of them");
        let found = vlans(&lab);
        let mut winners = 0;
        for one in all.iter().filter(|one| one["status"] != 137) {
            if one["status"] == 0 {
                let theirs = (vlan_of(one), true, vf_inside(one).unwrap());
                assert!(found.contains(&theirs), "{case}: {one}");
                winners += 1;
            } else {
                assert_refused(one);
            }
        }
        // Whoever was killed may have been the last to have had one of them.
        assert!(winners + killed >= VFS, "{case}: {winners} winners, {killed} killed: {all:#?}");
        let claimed = lab.ok("ls /run/runvf/claims").unwrap().stdout;
        for (vlan, _, vf) in found {
            assert!(claimed.contains(&vf), "{case}: nobody claims {vf} on VLAN {vlan}");
        }

        crowd(&lab, "disperse");
        let done = gc(&lab);
        assert!(done.iter().all(|(_, outcome, _)| outcome == "clean"), "{case}: {done:?}");
        assert_free(&lab, &case);
        lab.ok("test -z \"$(ls -A /run/runvf/containers)\"").expect(&case);
        let gone = format!("[ $({namespaces}) = {} ]", before.trim());
        lab.wait_until(Duration::from_secs(20), &gone).expect(&case);
        eprintln!("{case}: {killed} killed, {} VFs taken back by gc", done.len());
    }
    lab.ok(&with("! pgrep -x 'runvf|runvf-hook'")).unwrap();
}
