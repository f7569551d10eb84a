//! Podman networks that the policy refuses; network namespaces without a process, or without their
//! VF; the plugin at some of its fault points.

use std::time::Duration;

use crate::card::I82576;
use crate::engine::{Engine, run, start};
use crate::fault_points::{Faults, NETNS_ATTACH, NETNS_GC, TEARDOWN, assert_recovery_with_vfs};
use crate::hook_calls::{assert_free, functions, gc, status, vlans};
use crate::host::{assert_untouched, configure, leave, prepared, state};
use crate::netavark::{TENANTS, VF, create_network, remove_networks};
use crate::policy::audit;

/// Both when the network is created and when a container joins it.
#[test]
fn a_network_that_the_policy_does_not_allow_is_refused_word_for_word() {
    let lab = prepared();
    let before = state(&lab);
    configure(&lab, TENANTS);
    lab.ok("rm -f /var/log/runvf/audit*").unwrap();
    let line = "VLAN 300 is not assigned to any tenant; ask for another VLAN, or have VLAN 300 \
                added to the tenant in /etc/runvf/config.toml";
    let created = "podman network create --driver runvf --opt vlan=300 other";
    let refused = lab.sh(created).unwrap();
    assert!(refused.status != 0 && refused.stderr.contains(line), "{refused}");
    lab.ok("! podman network exists other").unwrap();
    let mistyped = lab.sh("podman network create --driver runvf --opt vlam=100 other").unwrap();
    let unknown = "`vlam` is not an option of a network of runvf; the options are vlan, ";
    assert!(mistyped.status != 0 && mistyped.stderr.contains(unknown), "{mistyped}");

    create_network(&lab, "acme", "--opt vlan=100 --opt tenant=acme");
    // The tenant loses its VLAN.
    configure(&lab, &TENANTS.replace("[100]", "[101]"));
    let refused = run(&lab, Engine::PodmanHooks, "--network acme", "echo it runs");
    let line_of_run = "tenant `acme` asks for VLAN 100, but may use only VLAN 101; ask for another \
                       VLAN, or have VLAN 100 added to the tenant in /etc/runvf/config.toml";
    assert!(refused.status != 0 && refused.stderr.contains(line_of_run), "{refused}");
    assert!(!refused.stdout.contains("it runs"), "{refused}");
    let entries = audit(&lab, "");
    let found: Vec<_> = entries.iter().map(|one| (one.0.as_str(), one.1, one.3.as_str())).collect();
    assert_eq!(found, [("refused", 300, line), ("refused", 100, line_of_run)]);
    remove_networks(&lab, "acme");
    assert_untouched(&lab, &before);
    leave(lab, &before);
}

/// Podman keeps the network namespace until the container is cleaned up.
#[test]
fn a_pinned_netns_keeps_its_vf_after_its_processes_were_killed() {
    let lab = prepared();
    let before = state(&lab);
    functions(&lab);
    create_network(&lab, "acme", "--opt vlan=100");
    start(&lab, Engine::PodmanHooks, "sensor", "--network acme");
    // conmon would clean up the container after its process has ended.
    lab.ok(
        "pid=$(podman inspect -f '{{.State.Pid}}' sensor); pkill -KILL -x conmon; kill -KILL $pid; \
        while [ -e /proc/$pid/ns/net ]; do sleep 0.01; done",
    )
    .unwrap();
    assert_eq!(gc(&lab), []);
    let (now, reason) = status(&lab, VF);
    assert_eq!(now, "attached", "{reason}");
    assert!(reason.starts_with("no process runs in its network namespace since 20"), "{reason}");
    assert_eq!(vlans(&lab), [(100, true, VF.to_owned())]);
    // The first one fails, because conmon has left no exit code.
    lab.wait_until(Duration::from_secs(30), "podman rm -f -i sensor").unwrap();
    remove_networks(&lab, "acme");
    assert_free(&lab, "after podman rm");
    assert_untouched(&lab, &before);
    leave(lab, &before);
}

#[test]
fn a_container_of_a_network_that_loses_its_vf_is_stopped() {
    let lab = prepared();
    let before = state(&lab);
    functions(&lab);
    create_network(&lab, "acme", "--opt vlan=100");
    start(&lab, Engine::PodmanHooks, "sensor", "--network acme");
    lab.ok(&format!("echo {VF} > /sys/bus/pci/drivers/igbvf/unbind")).unwrap();
    let found = gc(&lab);
    assert!(matches!(&found[..], [(vf, outcome, _)] if vf == VF && outcome == "lost"), "{found:?}");
    lab.ok("timeout 30 podman wait sensor").unwrap();
    lab.ok("podman rm -f sensor").unwrap();
    remove_networks(&lab, "acme");
    assert_free(&lab, "after podman rm");
    assert_untouched(&lab, &before);
    leave(lab, &before);
}

#[test]
fn the_netavark_plugin_recovers_from_a_kill_an_error_and_a_lie() {
    let setup = Faults::Only(&["attached:1:kill", "claim-replace:1:error", "flags:1:lie"]);
    let teardown = Faults::Only(&["claim-remove:1:kill", "vf-set:1:error"]);
    let gc = Faults::Only(&["unbind:1:kill"]);
    assert_recovery_with_vfs(
        I82576,
        &[(NETNS_ATTACH, setup), (TEARDOWN, teardown), (NETNS_GC, gc)],
    );
}
