//! Podman networks in pods, `kube play` and quadlets; several networks of one container; restarts
//! and disconnects; kills of Podman, and of the plugin at all of its fault points.

use std::time::Duration;

use crate::card::I82576;
use crate::engine::{Engine, IMAGE, run, start};
use crate::fault_points::{
    Faults, NETNS_ATTACH, NETNS_GC, NETNS_LOSS, TEARDOWN, assert_recovery_with_vfs,
    faulty_host_with_vfs,
};
use crate::hook_calls::{assert_free, functions, seed, with};
use crate::host::{
    Preparation, assert_clean, assert_untouched, leave, leave_as, on_vlans, prepared, state,
};
use crate::netavark::{create_network, remove_networks};
use crate::pods::{add_infra_image, assert_sensor};
use crate::script::script;

const NETWORK: &str = include_str!("../../../docs/examples/acme.network");
const SENSOR: &str = include_str!("../../../docs/examples/acme-on-network.container");
const POD: &str = include_str!("../../../docs/examples/pod.yaml");

#[test]
fn the_netavark_plugin_recovers_at_every_fault_point() {
    assert_recovery_with_vfs(
        I82576,
        &[
            (NETNS_ATTACH, Faults::All),
            (TEARDOWN, Faults::All),
            (NETNS_GC, Faults::All),
            (NETNS_LOSS, Faults::All),
        ],
    );
}

/// Podman, netavark and the plugin are killed together, at random moments.
#[test]
fn a_hundred_podmans_that_are_killed_leave_no_vf() {
    let lab = prepared();
    let before = state(&lab);
    functions(&lab);
    create_network(&lab, "acme", "--opt vlan=100");
    let seed = seed().to_string();
    let parameters = [("count", "100"), ("seed", seed.as_str())];
    let killed = script(include_str!("../scripts/killed_networks.sh"), &parameters);
    let left = lab.sh_within(Duration::from_secs(3600), &killed).unwrap();
    assert_eq!(left.status, 0, "{left}");
    eprintln!("{} VFs were left with a namespace that Podman had forgotten", left.text());
    remove_networks(&lab, "acme");
    assert_free(&lab, "after the kills");
    assert_untouched(&lab, &before);
    leave(lab, &before);
}

#[test]
fn a_quadlet_network_gives_a_sensor_its_vf() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/etc/containers/systemd/acme.network", NETWORK).unwrap();
    lab.write("/etc/containers/systemd/acme-on-network.container", SENSOR).unwrap();
    lab.ok("systemctl daemon-reload; systemctl start acme-on-network").unwrap();
    assert_sensor(&lab, "podman exec acme");
    lab.ok("systemctl restart acme-on-network").unwrap();
    assert_sensor(&lab, "podman exec acme");
    lab.ok("systemctl stop acme-on-network acme-network; podman network rm -f acme; \
        rm -r /etc/containers/systemd/acme* /var/log/runvf/acme; systemctl daemon-reload")
        .unwrap();
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

/// The VF is in the network namespace of the pod, and the containers of the pod come and go.
#[test]
fn a_pod_on_a_network_has_one_vf() {
    let lab = prepared();
    let before = state(&lab);
    functions(&lab);
    let infra = add_infra_image(&lab);
    create_network(&lab, "acme", "--opt vlan=100");
    // Without the annotation: the network is the door.
    let pod =
        POD.lines().filter(|line| !line.contains("io.runvf") && !line.contains("annotations"));
    lab.write("/tmp/pod.yaml", pod.collect::<Vec<_>>().join("\n")).unwrap();
    lab.ok("podman kube play --network acme /tmp/pod.yaml").unwrap();
    assert_sensor(&lab, "podman exec acme-sensor");
    lab.ok("podman restart -t 5 acme-sensor").unwrap();
    assert_sensor(&lab, "podman exec acme-sensor");
    lab.ok("podman kube down /tmp/pod.yaml; rm -r /var/log/runvf/acme").unwrap();
    assert_free(&lab, "after podman kube down");

    lab.ok("podman pod create --name sensors --network acme").unwrap();
    for name in ["one", "two"] {
        let look = "run --rm --pod sensors runvf/tcpdump cat /sys/class/net/mon0/carrier";
        assert_eq!(lab.ok(&format!("podman {look}")).unwrap().text(), "1", "{name}");
        assert_eq!(on_vlans(&lab, "pf0"), [(100, true)], "{name}");
    }
    lab.ok(&format!("podman pod rm -f -t 5 sensors; podman rmi localhost/pause; rm {infra}"))
        .unwrap();
    remove_networks(&lab, "acme");
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

#[test]
fn a_container_may_have_several_networks_and_leave_them() {
    let lab = prepared();
    let before = state(&lab);
    functions(&lab);
    create_network(&lab, "acme", "--opt vlan=100 --opt interface=tap1");
    create_network(&lab, "bravo", "--opt vlan=200");
    start(&lab, Engine::PodmanHooks, "sensor", "--network acme --network bravo");
    let mut found = on_vlans(&lab, "pf0");
    found.sort_unstable();
    assert_eq!(found, [(100, true), (200, true)]);
    lab.ok("podman exec sensor ls -d /sys/class/net/tap1 /sys/class/net/mon0").unwrap();
    lab.ok("podman network disconnect acme sensor").unwrap();
    assert_eq!(on_vlans(&lab, "pf0"), [(200, true)]);
    lab.ok("podman network connect acme sensor").unwrap();
    let mut found = on_vlans(&lab, "pf0");
    found.sort_unstable();
    assert_eq!(found, [(100, true), (200, true)]);
    lab.ok("podman rm -f -t 5 sensor").unwrap();
    assert_free(&lab, "after podman rm");

    // A container that asks by both doors has one VF, and needs nothing else.
    create_network(&lab, "civic", "--opt vlan=300 --opt interface=mon0");
    let both = "--network civic --annotation io.runvf.vlan=300";
    for engine in [Engine::PodmanHooks, Engine::PodmanRuntime] {
        let look = "cat /sys/class/net/mon0/carrier; ls /sys/class/net";
        let output = run(&lab, engine, both, look);
        assert_eq!((output.status, output.text()), (0, "1\nlo\nmon0"), "{engine:?}: {output}");
        assert_free(&lab, "after both doors");
    }
    remove_networks(&lab, "acme bravo civic");
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
