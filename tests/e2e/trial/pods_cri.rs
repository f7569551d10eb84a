//! Pods over CRI that end in other ways than by a request: their processes or their shim are
//! killed; and pods that another inner runtime makes.

use std::time::Duration;

use crate::cdi::wait_for_release;
use crate::host::{assert_clean, assert_untouched, on_vlans};
use crate::pods_cri::{
    IMAGE, VLAN_100, assert_sees_vf, last_entry, leave_node, node, run_pod, start_container,
};

const SETTLED: Duration = Duration::from_secs(60);

#[test]
fn a_pod_whose_processes_are_killed_leaves_a_clean_vf() {
    let (lab, before) = node();
    // containerd has one shim for the whole pod.
    for (victim, kill) in [
        ("shim", "pkill -KILL -f \"containerd-shim-runc-v2 .*-id $sandbox\""),
        ("sandbox", "kill -KILL $(jq .init.pid /run/runvf/claims/*.json)"),
        ("containerd", "systemctl kill -s KILL containerd; systemctl start containerd"),
    ] {
        let sandbox = run_pod(&lab, "acme", victim, VLAN_100);
        let sensor = start_container(&lab, &sandbox, "sensor");
        assert_sees_vf(&lab, &sensor);
        lab.ok(&format!("sandbox={sandbox}; {kill}")).unwrap();
        lab.wait_until(SETTLED, "cri-client list > /dev/null").unwrap();
        if victim != "shim" {
            // The container survives its engine, and its sandbox until the engine stops it.
            lab.ok("runvfctl gc").unwrap();
            assert_sees_vf(&lab, &sensor);
        }
        lab.wait_until(SETTLED, &format!("cri-client remove-pod {sandbox}")).unwrap();
        // A shim that was killed may have left the release to gc.
        lab.ok("runvfctl gc").unwrap();
        assert_untouched(&lab, &before);
    }
    leave_node(lab, &before);
}

#[test]
fn a_stopped_pod_has_no_vf() {
    let (lab, before) = node();
    let sandbox = run_pod(&lab, "acme", "sensor", VLAN_100);
    start_container(&lab, &sandbox, "sensor");
    lab.ok(&format!("cri-client stop-pod {sandbox}")).unwrap();
    wait_for_release(&lab);
    assert_clean(&lab, 0, "enp1s0v0");
    lab.ok(&format!("cri-client remove-pod {sandbox}")).unwrap();
    // The VLAN is free for the pod that replaces it.
    let next = run_pod(&lab, "acme", "next", VLAN_100);
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);
    lab.ok(&format!("cri-client remove-pod {next}")).unwrap();
    leave_node(lab, &before);
}

#[test]
fn a_pod_that_runc_makes_has_one_vf_for_all_its_containers() {
    let (lab, before) = node();
    lab.write("/etc/runvf/runtime.toml", "engine = \"runc\"\ncri = \"containerd\"\n").unwrap();
    let sandbox = run_pod(&lab, "acme", "sensor", VLAN_100);
    let sensor = start_container(&lab, &sandbox, "sensor");
    assert_sees_vf(&lab, &sensor);
    // The file may change while the pod runs: the record of the container says what it is.
    lab.ok("rm /etc/runvf/runtime.toml").unwrap();
    lab.ok(&format!("cri-client remove-pod {sandbox}")).unwrap();
    leave_node(lab, &before);
}

/// All VFs of the pool are taken by pods of the tenant.
#[test]
fn a_pod_without_a_free_vf_does_not_start() {
    let (lab, before) = node();
    let names = ["one", "two", "three"];
    let sandboxes = names.map(|name| run_pod(&lab, "acme", name, VLAN_100));
    let output = lab.sh(&format!("cri-client pod runvf acme four {VLAN_100}")).unwrap();
    assert!(output.status == 1 && output.stderr.contains("no free VF in pool"), "{output}");
    let entry = last_entry(&lab, "refused");
    assert_eq!((&entry["namespace"], &entry["pod"]), (&"acme".into(), &"four".into()));
    for sandbox in sandboxes {
        lab.ok(&format!("cri-client remove-pod {sandbox}")).unwrap();
    }
    lab.ok(&format!("! cri-client list | grep -v {IMAGE} | grep sandbox")).unwrap();
    leave_node(lab, &before);
}
