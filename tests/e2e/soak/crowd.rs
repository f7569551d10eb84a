//! Proof under concurrency: more containers than VFs ask for a VF at once. As many as there are VFs get a
//! VF of their own, the others get a clear error; and attaches that are killed leave no VF claimed.

use std::collections::BTreeSet;
use std::time::Duration;

use lab::{BothCpus, HostKind, Lab};
use serde_json::Value;

use crate::card::{Card, I82576};
use crate::hook_calls::{assert_free, functions, gc, seed, vlans, with};
use crate::host::{assert_untouched, installed_on, state};
use crate::script::script;

/// Beside those that come through hooks.
const CREATED: usize = 10;
const RUSH_TIMEOUT: Duration = Duration::from_secs(600);

const CROWD: &str = include_str!("../scripts/crowd.sh");

/// The number of VFs of a host: all PFs are in one pool, each with all VFs that it supports.
fn vfs(lab: &Lab) -> usize {
    let card = Card::of(lab);
    card.pfs().len() * card.max_vfs
}

/// The number of containers through hooks. Container `c1` asks for VLAN 101, and so on; those with the
/// highest numbers come through `runvf create`.
fn hooked(lab: &Lab) -> usize {
    vfs(lab) + 9
}

fn prepare(host: HostKind) -> (Lab, BothCpus) {
    let lab = installed_on(host);
    let both = lab.use_both_cpus().unwrap();
    functions(&lab);
    let (hooked, all) = (hooked(&lab).to_string(), (hooked(&lab) + CREATED).to_string());
    let parameters = [("hooked", hooked.as_str()), ("all", &all)];
    lab.write("/tmp/functions.crowd", script(CROWD, &parameters)).unwrap();
    lab.ok("runvfctl setup").unwrap();
    assert_free(&lab, "before");
    (lab, both)
}

fn crowd(lab: &Lab, script: &str) -> String {
    let script = format!("source /tmp/functions.crowd; {script}");
    lab.sh_within(RUSH_TIMEOUT, &script).unwrap().stdout
}

fn results(lab: &Lab) -> Vec<Value> {
    let text = crowd(lab, "results");
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(all.len(), hooked(lab) + CREATED);
    all
}

/// The PCI address of the VF in a container, which must be up and promiscuous.
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

/// Asserts a one-line error, and that the container has no VF.
fn assert_refused(refused: &Value) {
    let out = refused["out"].as_str().unwrap();
    assert!(out.starts_with("runvf: no free VF in pool `sensors`: "), "{refused}");
    assert_eq!(out.lines().count(), 1, "{refused}");
    let links = refused["links"].as_array().unwrap();
    assert!(links.iter().all(|link| link["ifname"] == "lo"), "{refused}");
}

/// From the second round on, all VFs have been used before.
pub(crate) fn a_crowd_shares_the_vfs(host: HostKind, rounds: usize) {
    let (lab, _both) = prepare(host);
    let before = state(&lab);
    for _ in 0..rounds {
        share_the_vfs(&lab);
        assert_free(&lab, "after all were released");
        assert_untouched(&lab, &before);
    }
}

fn share_the_vfs(lab: &Lab) {
    crowd(lab, "prepare_crowd; rush 0 0");
    let (attached, refused): (Vec<_>, Vec<_>) =
        results(lab).into_iter().partition(|one| one["status"] == 0);
    assert_eq!(attached.len(), vfs(lab), "refused: {refused:#?}");

    let mut expected: Vec<_> =
        attached.iter().map(|one| (vlan_of(one), true, vf_inside(one).unwrap())).collect();
    let mut found = vlans(lab);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let distinct: BTreeSet<_> = found.iter().map(|(_, _, vf)| vf).collect();
    assert_eq!(distinct.len(), vfs(lab));

    refused.iter().for_each(assert_refused);
    let claims = lab.ok("cd /run/runvf/claims; cat *.json | jq -r .container | sort").unwrap();
    let mut owners: Vec<_> = attached.iter().map(|one| one["name"].as_str().unwrap()).collect();
    owners.sort_unstable();
    assert_eq!(claims.text().lines().collect::<Vec<_>>(), owners);
    let containers = lab.ok("runvf list --format json | jq length").unwrap();
    let last = 100 + hooked(lab) as u64;
    let created = attached.iter().filter(|one| vlan_of(one) > last).count();
    assert_eq!(containers.text(), created.to_string(), "a refused container leaves no container");

    crowd(lab, "end_crowd; for i in $(seq $hooked); do detach c$i; done");
}

pub(crate) fn killed_attaches_leave_no_vf_claimed(host: HostKind, rounds: u64) {
    let (lab, _both) = prepare(host);
    let seed = seed();
    let namespaces = "readlink /proc/[0-9]*/ns/net 2>/dev/null | sort -u | wc -l";
    let before = lab.sh(namespaces).unwrap().stdout;
    for round in 0..rounds {
        let case = format!("RUNVF_SEED={seed}, round {round}");
        crowd(&lab, &format!("prepare_crowd; rush {} 16", seed + round));
        let all = results(&lab);
        let killed = all.iter().filter(|one| one["status"] == 137).count();
        assert!(killed > 0, "{case}: all kills came too late");
        let found = vlans(&lab);
        let mut attached = 0;
        for one in all.iter().filter(|one| one["status"] != 137) {
            if one["status"] == 0 {
                let expected = (vlan_of(one), true, vf_inside(one).unwrap());
                assert!(found.contains(&expected), "{case}: {one}");
                attached += 1;
            } else {
                assert_refused(one);
            }
        }
        // A killed attach may have claimed one of the VFs that are missing here.
        assert!(
            attached + killed >= vfs(&lab),
            "{case}: {attached} attached, {killed} killed: {all:#?}"
        );
        let claimed = lab.ok("ls /run/runvf/claims").unwrap().stdout;
        for (vlan, _, vf) in found {
            assert!(claimed.contains(&vf), "{case}: no claim for {vf} on VLAN {vlan}");
        }

        crowd(&lab, "end_crowd");
        let done = gc(&lab);
        assert!(done.iter().all(|(_, outcome, _)| outcome == "clean"), "{case}: {done:?}");
        assert_free(&lab, &case);
        lab.ok("test -z \"$(ls -A /run/runvf/containers)\"").expect(&case);
        let gone = format!("[ $({namespaces}) = {} ]", before.trim());
        lab.wait_until(Duration::from_secs(20), &gone).expect(&case);
        eprintln!("{case}: {killed} killed, {} VFs released by gc", done.len());
    }
    lab.ok(&with("! pgrep -x 'runvf|runvf-hook'")).unwrap();
}

#[test]
fn forty_attaches_at_once_share_twenty_one_vfs() {
    a_crowd_shares_the_vfs(I82576, 1);
}
