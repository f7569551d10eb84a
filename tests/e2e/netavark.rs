//! Proof for VFs of network namespaces: Podman's networks by the netavark plugin, and VFs that an
//! operator attaches by hand. Such a VF belongs to the namespace, because there is no process yet
//! when it is attached. `soak::netavark` has refusals and ends, `trial::netavark` pods,
//! quadlets and restarts.

use lab::Lab;

use crate::engine::{Engine, run, start};
use crate::hook_calls::{assert_free, functions, gc, status};
use crate::host::{assert_clean, assert_untouched, configure, leave, on_vlans, prepared, state};
use crate::policy::audit;

pub(crate) const VF: &str = "0000:01:10.0";

pub(crate) const TENANTS: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n\
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
