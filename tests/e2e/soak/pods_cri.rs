//! A pod that has lost its VF.

use crate::pods_cri::{IMAGE, VLAN_100, last_entry, leave_node, node, run_pod};

/// A container of a sandbox that has lost its VF.
#[test]
fn a_container_starts_only_if_its_pod_has_the_vf() {
    let (lab, before) = node();
    let sandbox = run_pod(&lab, "acme", "sensor", VLAN_100);
    let create = format!("cri-client create {sandbox} late {IMAGE} sleep 100000");
    let late = lab.ok(&create).unwrap().text().to_owned();
    let vf = lab.ok("basename /run/runvf/claims/*.json .json").unwrap().text().to_owned();
    lab.ok(&format!("runvfctl release --force {vf}")).unwrap();
    let missing = "pod acme/sensor has no VF on VLAN 100 as `mon0` in this network namespace";
    let refused = lab.sh(&format!("cri-client start {late}")).unwrap();
    assert!(refused.status == 1 && refused.stderr.contains(missing), "{refused}");
    assert_eq!(last_entry(&lab, "refused")["pod"], "sensor");
    lab.ok(&format!("cri-client remove-pod {sandbox}")).unwrap();
    leave_node(lab, &before);
}
