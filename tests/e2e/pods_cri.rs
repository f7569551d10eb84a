//! Proof for Kubernetes nodes, over CRI against the guest's containerd, as kubelet asks it: a pod
//! has one VF for all its containers, and only if the configuration gives the VLAN to its namespace.

use lab::Lab;
use serde_json::Value;

use crate::card::I82576;
use crate::host::{
    Preparation, assert_clean, assert_untouched, configure, leave_as, on_vlans, prepared, reused,
    state,
};
use crate::script::script;

const TENANTS: &str = r#"
[[pool]]
name = "sensors"
pfs = ["pf0"]

[[tenant]]
name = "acme"
vlans = [100]
namespaces = ["acme"]

[[tenant]]
name = "bravo"
vlans = [200]
"#;

const RUNTIME_TOML: &str = "/etc/runvf/runtime.toml";
pub(crate) const IMAGE: &str = "docker.io/runvf/tcpdump:latest";
pub(crate) const VLAN_100: &str = "io.runvf.vlan=100";

/// A node with runvf as a runtime of its containerd, and its state.
pub(crate) fn node() -> (Lab, String) {
    let lab = reused(I82576, Preparation::Node, || {
        let lab = prepared();
        make_node(&lab);
        lab
    });
    lab.write(RUNTIME_TOML, "cri = \"containerd\"\n").unwrap();
    configure(&lab, TENANTS);
    let before = state(&lab);
    (lab, before)
}

/// Leaves a [`node`] to another test.
pub(crate) fn leave_node(lab: Lab, before: &str) {
    assert_clean(&lab, 0, "enp1s0v0");
    leave_as(Preparation::Node, lab, before);
}

/// Makes a host a node.
pub(crate) fn make_node(lab: &Lab) {
    let client = lab::target_dir().join("cri/release/cri-client");
    lab.push(client, "/usr/local/bin/cri-client").unwrap();
    lab.ok(include_str!("scripts/cri_node.sh")).unwrap();
    lab.write(RUNTIME_TOML, "cri = \"containerd\"\n").unwrap();
}

/// Changes the pattern of the users' annotations that containerd passes on.
fn pass_on(lab: &Lab, from: &str, to: &str) {
    let literal = |pattern: &str| pattern.replace('.', "[.]").replace('*', "[*]");
    let change = "sed -i \"s/\\\"$from\\\"/\\\"$to\\\"/g\" /etc/containerd/config.toml
        grep \"\\\"$there\\\"\" /etc/containerd/config.toml
        systemctl restart containerd
        until cri-client list > /dev/null 2>&1; do sleep 0.1; done";
    let parameters = [("from", literal(from)), ("to", to.to_owned()), ("there", literal(to))];
    let parameters = parameters.each_ref().map(|(name, value)| (*name, value.as_str()));
    lab.ok(&script(change, &parameters)).unwrap();
}

/// Runs a pod of the RuntimeClass runvf, and returns the id of its sandbox.
pub(crate) fn run_pod(lab: &Lab, namespace: &str, name: &str, annotations: &str) -> String {
    let run = format!("cri-client pod runvf {namespace} {name} {annotations}");
    lab.ok(&run).unwrap().text().to_owned()
}

/// Starts a container in a pod, and returns its id.
pub(crate) fn start_container(lab: &Lab, sandbox: &str, name: &str) -> String {
    let create = format!("cri-client create {sandbox} {name} {IMAGE} sleep 100000");
    let id = lab.ok(&create).unwrap().text().to_owned();
    lab.ok(&format!("cri-client start {id}")).unwrap();
    id
}

/// Asserts that a container sees the pod's VF on VLAN 100.
pub(crate) fn assert_sees_vf(lab: &Lab, container: &str) {
    let look = "cat /sys/class/net/mon0/carrier /sys/class/net/mon0/ifalias";
    let seen = lab.ok(&format!("cri-client exec {container} {look}")).unwrap();
    assert_eq!(seen.text(), "1\nvlan=100 tenant=acme");
    assert_eq!(on_vlans(lab, "pf0"), [(100, true)]);
}

/// The last audit entry of an event.
pub(crate) fn last_entry(lab: &Lab, event: &str) -> Value {
    let all = lab.json("runvfctl audit --json").unwrap();
    let all = all.as_array().unwrap();
    all.iter().rfind(|entry| entry["event"] == event).cloned().unwrap_or_default()
}

#[test]
fn a_pod_has_one_vf_for_all_its_containers() {
    let (lab, before) = node();
    let sandbox = run_pod(&lab, "acme", "sensor", VLAN_100);
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);
    let one = start_container(&lab, &sandbox, "one");
    let two = start_container(&lab, &sandbox, "two");
    assert_sees_vf(&lab, &one);
    assert_sees_vf(&lab, &two);
    let attached = last_entry(&lab, "attached");
    assert_eq!((&attached["namespace"], &attached["pod"]), (&"acme".into(), &"sensor".into()));
    assert_eq!(attached["container"], sandbox.as_str());
    for command in ["runvfctl status", "runvfctl audit"] {
        let shown = lab.ok(command).unwrap();
        assert!(shown.stdout.contains("acme/sensor"), "{command}: {shown}");
    }

    // kubelet starts an exited container again in the same sandbox.
    lab.ok(&format!("cri-client remove {one}")).unwrap();
    assert_sees_vf(&lab, &two);
    let one = start_container(&lab, &sandbox, "one");
    lab.ok(
        "systemctl restart containerd; until cri-client list > /dev/null 2>&1; do sleep 0.1; done",
    )
    .unwrap();
    assert_sees_vf(&lab, &one);
    lab.ok("runvfctl gc").unwrap();
    assert_sees_vf(&lab, &two);

    lab.ok(&format!("cri-client remove-pod {sandbox}")).unwrap();
    assert_untouched(&lab, &before);
    let released = last_entry(&lab, "released");
    assert_eq!((&released["namespace"], &released["pod"]), (&"acme".into(), &"sensor".into()));
    leave_node(lab, &before);
}

#[test]
fn a_pod_of_another_namespace_is_refused() {
    let (lab, before) = node();
    // With this pattern, containerd passes all annotations of a user on.
    pass_on(&lab, "io.runvf.*", "*");
    let refused = |options: &str, namespace: &str, annotations: &str, why: &str| {
        let run = format!("cri-client pod {options} runvf {namespace} sensor {annotations}");
        let output = lab.sh(&run).unwrap();
        assert!(output.status == 1 && output.stderr.contains(why), "{annotations}: {output}");
        assert!(on_vlans(&lab, "pf0").is_empty());
        let entry = last_entry(&lab, "refused");
        let reason = entry["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(why), "{entry}");
        entry
    };
    let may_not = "pods of namespace `other` may not use VLAN 100; ask for another VLAN";
    let entry = refused("", "other", VLAN_100, may_not);
    assert_eq!((&entry["namespace"], &entry["pod"]), (&"other".into(), &"sensor".into()));
    // containerd writes its own keys after the user's.
    let own = format!("{VLAN_100} io.kubernetes.cri.sandbox-namespace=acme");
    refused("", "other", &own, may_not);
    // A tenant without namespaces has no pods.
    refused("", "bravo", "io.runvf.vlan=200", "pods of namespace `bravo` may not use VLAN 200");
    let other_family = "the container has annotations io.kubernetes.cri-o.*, but the pods of this \
                        host are made by containerd";
    for forged in
        ["io.kubernetes.cri-o.Namespace=acme", "io.kubernetes.cri-o.ContainerType=container"]
    {
        let libpod = "io.container.manager=libpod";
        refused("", "other", &format!("{VLAN_100} {forged} {libpod}"), other_family);
    }
    let host = "the container uses the host's network namespace";
    refused("--host-network", "acme", VLAN_100, host);
    lab.ok("rm /etc/runvf/runtime.toml").unwrap();
    refused("", "acme", VLAN_100, "/etc/runvf/runtime.toml names no engine for pods");
    pass_on(&lab, "*", "io.runvf.*");
    leave_node(lab, &before);
}
