//! Proof for VFs of network namespaces: Podman's networks by the netavark plugin, and VFs that an
//! operator attaches by hand. Such a VF belongs to the namespace, because there is no process yet
//! when it is attached. `soak::netavark` has pods, quadlets and restarts.

use lab::Lab;

use crate::card::I82576;
use crate::engine::{Engine, IMAGE, run, start};
use crate::fault_points::faulty_host_with_vfs;
use crate::hook_calls::{assert_free, functions, gc, status, vlans, with};
use crate::host::{
    Preparation, assert_clean, assert_untouched, configure, leave, leave_as, on_vlans, prepared,
    state,
};
use crate::policy::audit;

const VF: &str = "0000:01:10.0";

const TENANTS: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n\
    [[tenant]]\nname = \"acme\"\nvlans = [100]\nmax = 2\n[[tenant]]\nname = \"bravo\"\nvlans = [200]\n";

pub(crate) fn create_network(lab: &Lab, name: &str, options: &str) {
    lab.ok(&format!("podman network create --driver runvf {options} {name}")).unwrap();
}

/// Removes networks that no container uses.
pub(crate) fn remove_networks(lab: &Lab, names: &str) {
    lab.ok(&format!("podman network rm {names}")).unwrap();
}

#[test]
fn a_container_of_a_podman_network_finds_its_vf() {
    let lab = prepared();
    let before = state(&lab);
    functions(&lab);
    create_network(&lab, "acme", "--opt vlan=100");
    // UP, BROADCAST, NOARP, PROMISC, ALLMULTI, MULTICAST.
    let expected = "0x1383\n1";
    for (networks, interface) in [
        ("--network acme", "mon0"),
        ("--network podman --network acme", "mon0"),
        ("--network acme:interface_name=tap1", "tap1"),
    ] {
        let look =
            format!("cat /sys/class/net/{interface}/flags /sys/class/net/{interface}/carrier");
        let output = run(&lab, Engine::PodmanHooks, networks, &look);
        assert_eq!((output.status, output.text()), (0, expected), "{networks}: {output}");
        assert_free(&lab, networks);
    }

    start(&lab, Engine::PodmanHooks, "sensor", "--network acme");
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);
    assert_eq!(gc(&lab), [], "gc leaves the VF of a running container alone");
    let shown = "runvfctl status --json | jq -c '.[].vfs[] | select(.claim) | \
        [.state, .container_name, .claim.init, .claim.network, .claim.version]'";
    assert_eq!(lab.ok(shown).unwrap().text(), r#"["attached","sensor",null,"acme",2]"#);
    lab.ok("podman stop -t 5 sensor").unwrap();
    assert_free(&lab, "after podman stop");
    lab.ok("podman start sensor").unwrap();
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);
    lab.ok("podman rm -f -t 5 sensor").unwrap();
    remove_networks(&lab, "acme");
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

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

#[test]
fn a_network_without_a_free_vf_is_refused() {
    let lab = prepared();
    let before = state(&lab);
    functions(&lab);
    create_network(&lab, "acme", "--opt vlan=100");
    lab.ok(&with("for name in a b c; do holder $name 200; attach $name; done")).unwrap();
    let refused = run(&lab, Engine::PodmanHooks, "--network acme", "echo it runs");
    let line = "no free VF in pool `sensors`: pf0 has 3 claimed and 0 in use by something else; ";
    assert!(refused.status != 0 && refused.stderr.contains(line), "{refused}");
    lab.ok(&with("for name in a b c; do end $name; detach $name; done")).unwrap();
    remove_networks(&lab, "acme");
    assert_free(&lab, "after all were released");
    assert_untouched(&lab, &before);
    leave(lab, &before);
}

/// The claim is on disk, and Podman gets no answer.
#[test]
fn a_plugin_that_is_killed_leaves_nothing_after_gc() {
    let lab = faulty_host_with_vfs(I82576);
    let before = state(&lab);
    create_network(&lab, "acme", "--opt vlan=100");
    for fault in ["claim-create:1:kill", "move:1:kill", "attached:1:kill"] {
        let run =
            format!("RUNVF_FAULT={fault} podman run --rm --network acme {IMAGE} echo it runs");
        let killed = lab.sh(&run).unwrap();
        assert!(killed.status != 0 && !killed.stdout.contains("it runs"), "{fault}: {killed}");
        assert!(killed.stderr.contains("plugin \"runvf\""), "{fault}: {killed}");
        lab.ok("runvfctl gc").unwrap();
        assert_free(&lab, fault);
    }
    remove_networks(&lab, "acme");
    leave_as(Preparation::Faulty, lab, &before);
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
    lab.ok("podman rm -f sensor").unwrap();
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
fn a_vf_is_attached_to_a_netns_by_hand_and_released() {
    let lab = prepared();
    let before = state(&lab);
    functions(&lab);
    configure(&lab, TENANTS);
    lab.ok("ip netns add mon").unwrap();
    let attached = lab.ok("runvfctl attach --vlan 100 --netns /run/netns/mon --name mon0").unwrap();
    let line = format!("{VF} attached: mon0 of mon, VLAN 100, MAC ");
    assert!(attached.stdout.starts_with(&line), "{attached}");
    let shown = lab.ok("ip netns exec mon ip link show mon0").unwrap();
    assert!(shown.stdout.contains("PROMISC") && shown.stdout.contains("UP"), "{shown}");
    // A second attach changes nothing.
    assert_eq!(lab.ok("runvfctl attach --vlan 100 --netns mon").unwrap().stdout, attached.stdout);
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);

    let refused = lab.sh("runvfctl attach --vlan 200 --netns mon --name tap1").unwrap();
    let other_tenant = "this network namespace already holds another tenant's VF; ";
    assert!(refused.status == 1 && refused.stderr.contains(other_tenant), "{refused}");
    let refused = lab.sh("runvfctl attach --vlan 300 --netns mon --name tap1").unwrap();
    assert!(refused.stderr.starts_with("runvfctl: VLAN 300 is not assigned"), "{refused}");
    let taken = lab.sh("runvfctl attach --vlan 100 --netns mon --name lo").unwrap();
    assert!(taken.status == 1, "{taken}");

    assert_eq!(gc(&lab), []);
    let (_, reason) = status(&lab, VF);
    assert!(reason.contains("`runvfctl release mon` takes the VF back"), "{reason}");
    lab.ok("ip netns exec mon sleep 1000 < /dev/null &> /dev/null & echo $! > /tmp/pid; \
        until [ -n \"$(ip netns pids mon)\" ]; do sleep 0.01; done")
        .unwrap();
    let left = lab.sh("runvfctl release mon").unwrap();
    assert!(left.status == 3, "{left}");
    assert!(left.stdout.contains("is still running in its network namespace"), "{left}");
    lab.ok("kill $(cat /tmp/pid); while [ -n \"$(ip netns pids mon)\" ]; do sleep 0.01; done")
        .unwrap();
    lab.ok("runvfctl release mon").unwrap();
    assert_free(&lab, "after the release");

    // The end of the namespace ends the claim.
    lab.ok("runvfctl attach --vlan 100 --netns mon; ip netns del mon; udevadm settle").unwrap();
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);
    lab.wait_until(std::time::Duration::from_secs(20), "ip link show mon0").unwrap();
    let found = gc(&lab);
    assert_eq!(found, [(VF.to_owned(), "clean".to_owned(), "mon".to_owned())]);
    assert_free(&lab, "after the end of the namespace");
    let events: Vec<_> = audit(&lab, "--container mon").into_iter().map(|one| one.0).collect();
    assert_eq!(
        events,
        ["attached", "refused", "refused", "released", "attached", "released"],
        "the audit log"
    );
    assert_untouched(&lab, &before);
    leave(lab, &before);
}
