//! More of `runvf` on OCI bundles without an engine: interrupted and failed creates, and properties
//! that runc sets without being told.

use crate::bundles::{CREATE, with_both, with_bundle};
use crate::host::{assert_clean, leave, prepared, settle, state};
use crate::script::script;

/// `pgrep` finds it by this name, and the holder of a PF's lock is named by it.
#[test]
fn the_process_is_named_runvf_although_it_runs_from_a_sealed_copy() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(include_str!("../scripts/named_process.sh")).unwrap();
    leave(lab, &before);
}

/// Days may pass between `create` and `start`, and other tools may change the VF.
#[test]
fn a_container_whose_vf_was_changed_does_not_start() {
    let lab = prepared();
    let before = state(&lab);
    let inside = "nsenter -n -t $(cat /tmp/pid) ip link set mon0";
    let missing = "container sensor has no VF for interface `mon0`; ";
    for (change, why) in [
        (
            "ip link set pf0 vf 0 vlan 300".to_owned(),
            "set VLAN 100, but the PF driver reports VLAN 300; ",
        ),
        (
            "ip link set pf0 vf 0 trust off".to_owned(),
            "set trust on, but the PF driver reports trust off; ",
        ),
        (format!("{inside} promisc off"), missing),
        (format!("{inside} down"), missing),
    ] {
        lab.ok(&format!("{CREATE}\n{change}")).unwrap();
        let output = lab.sh("runvf start sensor").unwrap();
        assert!(output.status == 1 && output.stderr.contains(why), "{change}: {output}");
        assert_eq!(lab.json("runvf state sensor").unwrap()["status"], "created", "{change}");
        lab.ok("runvf delete --force sensor").unwrap();
        settle(&lab, 3);
        assert_clean(&lab, 0, "enp1s0v0");
    }
    leave(lab, &before);
}

/// containerd deletes the container of a killed shim, while the runtime that the shim started is
/// still creating it; and a killed conmon takes the runtime with it. Both engines delete without
/// `--systemd-cgroup`.
#[test]
fn an_interrupted_create_leaves_no_process() {
    let lab = prepared();
    let before = state(&lab);
    for runtime in ["runc", "runvf"] {
        for systemd in ["", "--systemd-cgroup"] {
            for event in ["rm -rf /run/runc/cut /run/runvf/containers/cut", "kill -9 $PPID"] {
                // The program is in a file, because its pgrep would find it in a command line.
                lab.write("/tmp/cut.sh", include_str!("../scripts/interrupted_create.sh")).unwrap();
                let parameters = [("runtime", runtime), ("systemd", systemd), ("event", event)];
                let run = script("bash /tmp/cut.sh 2> /tmp/cut.err; rm /tmp/cut.sh", &parameters);
                let printed = lab.ok(&run).unwrap();
                assert_eq!(printed.text(), "gone", "{runtime} {systemd}: {event}");
            }
        }
    }
    leave(lab, &before);
}

/// runc has defaults for properties of a process that a bundle does not specify.
#[test]
fn unspecified_process_properties_are_as_with_runc() {
    let lab = prepared();
    let before = state(&lab);
    let [runc, runvf] = with_both(&lab, include_str!("../scripts/unspecified_properties.sh"));
    assert_eq!(runvf, format!("{runc}\n1\n1"));
    assert!(runc.starts_with("4000\n5000\n"), "{runc}");
    assert!(runc.contains("1024\n2048"), "{runc}");
    leave(lab, &before);
}

/// An access is allowed if the rules for its device allow all parts of it together.
#[test]
fn device_rules_are_merged_as_with_runc() {
    let lab = prepared();
    let before = state(&lab);
    let printed = with_both(&lab, include_str!("../scripts/device_rules.sh"));
    let expected = "read\nread\nwrite\nboth";
    assert_eq!(printed, [expected, expected]);
    leave(lab, &before);
}

/// Without a pid namespace, the end of the init process ends no other process, and each of these
/// processes is gone before it can be found.
#[test]
fn a_container_that_forks_without_end_is_removed() {
    let lab = prepared();
    let before = state(&lab);
    let both = lab.use_both_cpus().unwrap();
    let printed = with_both(&lab, include_str!("../scripts/fork_without_end.sh"));
    drop(both);
    assert_eq!(printed, ["there\n0\nremoved\ngone", "there\n0\nremoved\ngone"]);
    leave(lab, &before);
}

/// A process may have children before it becomes a runtime.
#[test]
fn a_failed_create_spares_earlier_children_of_the_process() {
    let lab = prepared();
    let before = state(&lab);
    let printed = with_both(&lab, include_str!("../scripts/spared_children.sh"));
    assert_eq!(printed, ["failed\nspared", "failed\nspared"]);
    leave(lab, &before);
}

/// systemd knows the processes of the container and does not answer.
#[test]
fn a_container_is_removed_without_systemd() {
    let lab = prepared();
    let before = state(&lab);
    with_bundle(&lab, "runvf", include_str!("../scripts/without_systemd.sh"));
    leave(lab, &before);
}
