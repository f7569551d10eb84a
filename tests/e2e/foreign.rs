//! Proof that nothing foreign is touched: releases that come late or twice, claims that runvf did
//! not write, and VFs that something else uses.

use lab::{HostKind, Lab};
use serde_json::Value;

use crate::card::Card;
use crate::hook_calls::{assert_free, functions, gc, status, vlans, with};
use crate::host::{leave, prepared_on, state};
use crate::script::script;

/// A prepared host, its state, and its names.
fn prepare(host: HostKind) -> (Lab, String, Names) {
    let lab = prepared_on(host);
    functions(&lab);
    let before = state(&lab);
    let card = Card::of(&lab);
    let names = Names { first: card.vf(0), second: card.vf(1), claim: card.claim(0) };
    (lab, before, names)
}

/// The PCI addresses of the first two VFs, and the file of the claim of the first one.
struct Names {
    first: String,
    second: String,
    claim: String,
}

impl Names {
    fn on_first(&self, vlan: u64) -> Vec<(u64, bool, String)> {
        vec![(vlan, true, self.first.clone())]
    }
}

fn ok(lab: &Lab, script: &str) {
    lab.ok(&with(script)).unwrap();
}

/// VLAN and trust of a container's VFs, and the links inside the container, without statistics.
fn view_of(lab: &Lab, name: &str, vlan: u64) -> (Vec<(u64, bool, String)>, Value) {
    let found = vlans(lab).into_iter().filter(|(found, _, _)| *found == vlan).collect();
    let links = format!("nsenter -n -t $(cat /tmp/{name}.pid) ip -j -d link");
    (found, lab.json(&links).unwrap())
}

pub(crate) fn late_and_repeated_releases_change_nothing(host: HostKind) {
    let (lab, untouched, names) = prepare(host);
    let Names { claim, .. } = &names;
    ok(&lab, "holder a 11; attach a; end a; detach a; holder b 22; attach b");
    let before = view_of(&lab, "b", 22);
    assert_eq!(before.0, names.on_first(22), "the former VF of a");
    // A gc records when it has found the VF promiscuous.
    let recorded = || lab.json(&format!("jq 'del(.checked, .carrier)' {claim}")).unwrap();
    let claimed = recorded();

    ok(&lab, "detach a; detach a");
    let none = lab.sh("runvfctl release a").unwrap();
    let error = "runvfctl: no VF is claimed for a; see `runvfctl status`\n";
    assert_eq!((none.status, none.stderr.as_str()), (1, error), "{none}");
    let refused = lab.sh(&format!("runvfctl release {}", names.first)).unwrap();
    assert_eq!(refused.status, 3, "{refused}");
    assert_eq!(gc(&lab), []);
    assert_eq!(view_of(&lab, "b", 22), before);
    assert_eq!(recorded(), claimed);

    ok(&lab, "end b; detach b; detach b");
    assert_free(&lab, "after b");
    leave(lab, &untouched);
}

/// An attach that waited for the lock of a PF releases the VFs of containers that ended meanwhile.
pub(crate) fn an_attach_that_waited_reconciles_again(host: HostKind) {
    let (lab, untouched, names) = prepare(host);
    ok(&lab, "for n in 1 2 3; do holder h$n 1$n; attach h$n; done");
    assert_eq!(vlans(&lab).len(), 3, "no VF is free");
    ok(
        &lab,
        "holder late 20; lock; attach late & late=$!; wait_for_waiter; end h2; unlock; wait $late",
    );
    let on: Vec<_> = vlans(&lab).into_iter().map(|(vlan, _, vf)| (vlan, vf)).collect();
    assert!(on.contains(&(20, names.second.clone())), "{on:?}");
    ok(&lab, "for name in h1 h3 late; do end $name; detach $name; done");
    assert_free(&lab, "after all");
    leave(lab, &untouched);
}

/// A netns outlives the dead container whose VF has the name `mon0` there. An attach that asks for
/// the same name waits for the busy PF of that VF.
pub(crate) fn an_interface_name_is_free_after_its_owner_died(host: HostKind) {
    let (lab, untouched, names) = prepare(host);
    ok(
        &lab,
        "holder a 11; attach a; join b a 22; end a; lock; attach b & b=$!; wait_for_waiter; unlock; wait $b",
    );
    assert_eq!(view_of(&lab, "b", 22).0, names.on_first(22));
    ok(&lab, "end b; detach b");
    assert_free(&lab, "after b");
    leave(lab, &untouched);
}

/// A VF that its container lost and that was then bound to another driver stays bound to that
/// driver.
pub(crate) fn a_lost_vf_with_a_foreign_driver_is_kept(host: HostKind) {
    let (lab, untouched, names) = prepare(host);
    let Names { first, .. } = &names;
    let device = format!("/sys/bus/pci/devices/{first}");
    ok(&lab, "holder a 11; attach a");
    lab.ok(&script(include_str!("scripts/bind_vfio.sh"), &[("vf", names.first.as_str())])).unwrap();
    ok(&lab, "end a; detach a");
    let done = gc(&lab);
    let [(vf, outcome, _)] = &done[..] else { panic!("{done:?}") };
    assert_eq!((vf.as_str(), outcome.as_str()), (names.first.as_str(), "left"));
    lab.ok(&format!("readlink {device}/driver | grep vfio-pci")).unwrap();
    lab.ok(&format!("echo > {device}/driver_override; echo {first} > {device}/driver/unbind"))
        .unwrap();
    assert_eq!(gc(&lab), [(names.first.clone(), "clean".to_owned(), "a".to_owned())]);
    assert_free(&lab, "after the foreign driver was unbound");
    leave(lab, &untouched);
}

/// The macvlan of another tool on a VF would go on seeing the tenant's frames.
pub(crate) fn a_vf_under_a_macvlan_is_not_claimed(host: HostKind) {
    let (lab, untouched, names) = prepare(host);
    ok(&lab, "ip link add link enp1s0v0 name over0 type macvlan; holder a 11; attach a");
    assert_eq!(vlans(&lab), [(11, true, names.second.clone())]);
    let (state, reason) = status(&lab, &names.first);
    assert!(
        state != "free" && reason.contains("another interface is stacked on"),
        "{state} {reason}"
    );
    ok(&lab, "end a; detach a; ip link del over0");
    assert_free(&lab, "after both");
    leave(lab, &untouched);
}

/// A bridge or a bond does not change the PF's own netdev, which sets its VFs.
pub(crate) fn a_pf_that_is_a_port_of_a_bridge_or_a_bond_serves_its_vfs(host: HostKind) {
    let (lab, untouched, names) = prepare(host);
    let promisc = lab.ok("ip link show pf0").unwrap().text().contains("PROMISC");
    let up = if promisc { "; ip link set pf0 up promisc on" } else { "; ip link set pf0 up" };
    for (join, shown, leave) in [
        ("ip link add over9 type bridge; ip link set pf0 master over9", "a port of over9", ""),
        // A bond takes only an interface that is down, and sets it up itself.
        (
            "ip link add over9 type bond mode active-backup; ip link set pf0 down
             ip link set pf0 master over9; ip link set over9 up",
            "a port of the bond over9: a sensor misses the frames",
            up,
        ),
    ] {
        lab.ok(join).unwrap();
        ok(&lab, "holder a 11; attach a");
        assert_eq!(vlans(&lab), names.on_first(11), "{join}");
        assert_eq!(lab.json("runvfctl status --json").unwrap()[0]["master"], "over9");
        let doctor = lab.sh("runvfctl doctor").unwrap();
        assert!(doctor.stdout.contains(shown), "{doctor}");
        let end = format!("end a; detach a; ip link set pf0 nomaster; ip link del over9{leave}");
        ok(&lab, &end);
        assert_free(&lab, join);
    }
    leave(lab, &untouched);
}

/// runvf cannot change the VF without the PF, but the container must not keep it.
pub(crate) fn a_vf_is_quarantined_while_its_pf_is_in_another_netns(host: HostKind) {
    let (lab, _, names) = prepare(host);
    let Names { first, .. } = &names;
    ok(&lab, "holder a 11; attach a; holder b 22; ip netns add other; ip link set pf0 netns other");
    let why = "PF pf0 is not in the host's network namespace; the netdev of 0000:01:00.0 is in \
               another network namespace; move it back with ";
    let refused = lab.sh(&with("attach b")).unwrap();
    assert!(
        refused.status == 1 && refused.stderr.starts_with(&format!("runvf: {why}")),
        "{refused}"
    );
    let shown = status(&lab, &names.first);
    assert_eq!(
        (shown.0.as_str(), shown.1.as_str()),
        ("attached", "its PF is not in the host's network namespace")
    );
    assert_eq!(gc(&lab), [(names.first.clone(), "left".to_owned(), "a".to_owned())]);
    let doctor = lab.sh("runvfctl doctor --json").unwrap();
    assert!(doctor.stdout.contains("PF pf0 is not in the host's network namespace"), "{doctor}");

    let released = lab.ok(&with("end a; detach a")).unwrap();
    assert!(released.stderr.contains(&format!("is quarantined: {why}")), "{released}");
    let (state, reason) = status(&lab, &names.first);
    assert!(state == "quarantined" && reason.starts_with(why), "{state} {reason}");
    lab.ok(&format!("! [ -e /sys/bus/pci/devices/{first}/driver ]")).unwrap();

    lab.ok("ip -n other link set pf0 netns 1; ip netns del other; runvfctl setup").unwrap();
    let repaired = lab.json(&format!("runvfctl repair {first} --json")).unwrap();
    assert_eq!(repaired[0]["outcome"], "clean", "{repaired}");
    assert_free(&lab, "after the PF is back");
}

/// A tool that configures the host's network may put a returned netdev into a bridge, by its name.
/// The VF still belongs to the dead container, because it still has that container's VLAN.
pub(crate) fn a_vf_that_returned_into_a_bridge_is_released(host: HostKind) {
    let (lab, untouched, names) = prepare(host);
    let program = include_str!("scripts/return_into_bridge.sh");
    lab.ok(&script(program, &[("vf", &names.first)])).unwrap();
    assert_free(&lab, "after detach");
    leave(lab, &untouched);
}

/// If a `delete` is killed after the container is removed and before its VF is released, the
/// engine's next `delete` releases the VF.
pub(crate) fn delete_of_a_missing_container_releases_its_vf(host: HostKind) {
    let (lab, untouched, _) = prepare(host);
    ok(&lab, "holder a 11; attach a; end a; runvf delete --force a");
    assert_free(&lab, "after a delete");
    leave(lab, &untouched);
}

pub(crate) fn gc_removes_an_old_claim_of_a_free_vf(host: HostKind) {
    let (lab, untouched, names) = prepare(host);
    ok(&lab, "holder a 11; attach a");
    let old = lab.pull(&names.claim).unwrap();
    ok(&lab, "end a; detach a");
    lab.write(&names.claim, old).unwrap();
    assert_eq!(status(&lab, &names.first).0, "attached");
    assert_eq!(gc(&lab), [(names.first.clone(), "clean".to_owned(), "a".to_owned())]);
    assert_free(&lab, "after gc");
    leave(lab, &untouched);
}

pub(crate) fn an_old_claim_does_not_release_the_vf_of_another_owner(host: HostKind) {
    let (lab, untouched, names) = prepare(host);
    ok(&lab, "holder a 11; attach a");
    let old = lab.pull(&names.claim).unwrap();
    ok(&lab, "end a; detach a; holder b 22; attach b");
    let before = view_of(&lab, "b", 22);
    assert_eq!(before.0, names.on_first(22));
    lab.write(&names.claim, old).unwrap();

    assert_eq!(gc(&lab), [(names.first.clone(), "left".to_owned(), "a".to_owned())]);
    assert_eq!(view_of(&lab, "b", 22), before);
    ok(&lab, "detach a");
    assert_eq!(view_of(&lab, "b", 22), before);
    // An attach, which releases the VFs of dead owners, does not take it either; and the owner's
    // own release does not change the claim.
    ok(&lab, "holder c 33; attach c; detach b; end c; detach c");
    assert_eq!(view_of(&lab, "b", 22), before);

    ok(&lab, "end b; detach b");
    assert_eq!(gc(&lab), [(names.first.clone(), "clean".to_owned(), "a".to_owned())]);
    assert_free(&lab, "after b");
    leave(lab, &untouched);
}

/// A record with another nonce is another claim, but it names an owner. As long as that owner
/// lives, the VF must not be claimed.
pub(crate) fn a_claim_with_another_nonce_is_kept_while_its_owner_lives(host: HostKind) {
    let (lab, untouched, names) = prepare(host);
    let Names { claim, .. } = &names;
    ok(&lab, "holder a 11; attach a");
    let before = view_of(&lab, "a", 11);
    assert_eq!(before.0, names.on_first(11));
    ok(
        &lab,
        &format!(
            "sed -i 's/\"nonce\": \".*\"/\"nonce\": \"another\"/' {claim}; grep another {claim}"
        ),
    );
    ok(&lab, "holder b 22; attach b; detach a");
    assert_eq!(gc(&lab), []);
    assert_eq!(view_of(&lab, "a", 11), before);
    ok(&lab, "end a; end b; detach b");
    assert_eq!(gc(&lab), [(names.first.clone(), "clean".to_owned(), "a".to_owned())]);
    assert_free(&lab, "after a");
    leave(lab, &untouched);
}

/// What may be in the place of a claim, and how it gets there. The first ones are tested in `make
/// test`.
pub(crate) const UNREADABLE_CLAIMS: [(&str, &str); 8] = [
    ("truncated", "truncate -s 300 $claim"),
    ("a directory", "rm $claim; mkdir $claim"),
    ("empty", ": > $claim"),
    ("a link to a true claim", "mv $claim /tmp/claim.json; ln -s /tmp/claim.json $claim"),
    ("a dangling link", "ln -sf /no/such/file $claim"),
    ("a FIFO", "rm $claim; mkfifo $claim"),
    ("a device that cannot be opened", "rm $claim; mknod $claim b 259 4000"),
    ("of another user", "chown 1000 $claim"),
];

pub(crate) fn unreadable_claims_are_kept_until_repair(host: HostKind, claims: &[(&str, &str)]) {
    let (lab, untouched, names) = prepare(host);
    let Names { first, claim, .. } = &names;
    for &(kind, make) in claims {
        ok(&lab, "holder a 11; attach a");
        let before = view_of(&lab, "a", 11);
        assert_eq!(before.0, names.on_first(11), "{kind}");
        ok(&lab, &format!("claim={claim}; {make}"));
        let stat = format!("stat -c '%F %u %s %i' {claim}");
        let made = lab.ok(&stat).unwrap().stdout;

        let (state, reason) = status(&lab, &names.first);
        assert_eq!(state, "unreadable", "{kind}: {reason}");
        assert!(!reason.is_empty(), "{kind}");
        assert_eq!(
            gc(&lab),
            [(names.first.clone(), "unreadable".to_owned(), String::new())],
            "{kind}"
        );
        ok(&lab, "holder b 22; attach b");
        assert_eq!(view_of(&lab, "b", 22).0, [(22, true, names.second.clone())], "{kind}");
        ok(&lab, "detach a");
        let repaired = lab.sh(&format!("timeout 60 runvfctl repair {first}")).unwrap();
        assert_eq!(repaired.status, 3, "{kind}: repaired under a living container: {repaired}");
        assert_eq!(view_of(&lab, "a", 11), before, "{kind}");
        assert_eq!(lab.ok(&stat).unwrap().stdout, made, "{kind}");

        ok(&lab, "end a; end b; detach b; detach a");
        assert_eq!(lab.ok(&stat).unwrap().stdout, made, "{kind}");
        let repaired =
            lab.ok(&format!("timeout 60 runvfctl repair {first} --json | jq -r '.[].outcome'"));
        assert_eq!(repaired.expect(kind).text(), "clean", "{kind}");
        assert_free(&lab, kind);
    }
    leave(lab, &untouched);
}

/// How something else uses the first VF, and how that use ends. The first ones are tested in `make
/// test`.
pub(crate) const FOREIGN_USES: [(&str, &str, &str); 8] = [
    ("its netdev is up", "ip link set $dev up", "ip link set $dev down"),
    (
        "it is bound to vfio-pci",
        include_str!("scripts/bind_vfio.sh"),
        include_str!("scripts/unbind_vfio.sh"),
    ),
    ("it has an address", "ip addr add 192.0.2.1/24 dev $dev", "ip addr flush dev $dev"),
    (
        "it is a bridge's port",
        "ip link add br9 type bridge; ip link set $dev master br9",
        "ip link set $dev nomaster; ip link del br9",
    ),
    (
        "it is in another netns",
        "ip netns add other; ip link set $dev netns other",
        "ip -n other link set $dev netns 1; ip netns del other",
    ),
    (
        "it is kept for vfio-pci",
        "echo $vf > $pci/devices/$vf/driver/unbind; echo vfio-pci > $pci/devices/$vf/driver_override",
        "echo > $pci/devices/$vf/driver_override; echo $vf > $pci/drivers_probe",
    ),
    (
        "it is bound, and kept for vfio-pci",
        "echo vfio-pci > $pci/devices/$vf/driver_override",
        "echo > $pci/devices/$vf/driver_override",
    ),
    ("it has a VLAN", "ip link set pf0 vf 0 vlan 77", "ip link set pf0 vf 0 vlan 0"),
];

/// Without the VF there is nothing to clean; the file only blocks the PCI address.
pub(crate) fn repair_removes_an_unreadable_claim_of_a_missing_vf(host: HostKind) {
    let (lab, _, names) = prepare(host);
    lab.ok(&script(
        include_str!("scripts/unreadable_claims.sh"),
        &[("first", &names.first), ("second", &names.second)],
    ))
    .unwrap();
    for vf in [&names.first, &names.second] {
        let repaired = lab.json(&format!("runvfctl repair {vf} --json")).unwrap();
        assert_eq!(repaired[0]["outcome"], "clean", "{repaired}");
    }
    lab.ok("[ -z \"$(ls -A /run/runvf/claims)\" ]").unwrap();
    let refused = lab.sh("runvfctl repair ../../../tmp/other; cat /tmp/other.json").unwrap();
    assert_eq!((refused.status, refused.text()), (0, "{"), "{refused}");
    assert!(refused.stderr.contains("VF ../../../tmp/other does not exist"), "{refused}");
}

pub(crate) fn vfs_in_foreign_use_are_never_claimed(host: HostKind, uses: &[(&str, &str, &str)]) {
    let (lab, untouched, names) = prepare(host);
    for &(kind, begin, end) in uses {
        let of_first = [("dev", "enp1s0v0"), ("vf", names.first.as_str()), ("pci", "/sys/bus/pci")];
        lab.ok(&script(begin, &of_first)).unwrap();
        let look = &script(include_str!("scripts/first_vf.sh"), &[("vf", &names.first)]);
        let used = lab.ok(look).unwrap().stdout;
        let (state, reason) = status(&lab, &names.first);
        assert_eq!(state, "foreign", "{kind}");
        assert!(!reason.is_empty(), "{kind}");

        // Two VFs are left for three containers.
        ok(&lab, "holder a 11; attach a; holder b 22; attach b; holder c 33");
        let refused = lab.sh(&with("attach c")).unwrap();
        let expected = "runvf: no free VF in pool `sensors`: pf0 has 2 claimed and 1 in use by something else; ";
        assert!(refused.stderr.starts_with(expected), "{kind}: {refused}");
        assert!(
            vlans(&lab).iter().all(|(vlan, _, vf)| *vf != names.first || *vlan == 77),
            "{kind}"
        );
        ok(&lab, "end a; detach a; end b; detach b; end c; detach c");
        assert_eq!(gc(&lab), [], "{kind}");
        assert_eq!(lab.ok(look).unwrap().stdout, used, "{kind}");

        lab.ok(&script(end, &of_first)).unwrap();
        assert_free(&lab, kind);
    }
    leave(lab, &untouched);
}

pub(crate) fn a_truncated_claim_and_a_directory_are_kept_until_repair(host: HostKind) {
    unreadable_claims_are_kept_until_repair(host, &UNREADABLE_CLAIMS[..2]);
}

pub(crate) fn a_vf_that_is_up_or_has_a_foreign_driver_is_never_claimed(host: HostKind) {
    vfs_in_foreign_use_are_never_claimed(host, &FOREIGN_USES[..2]);
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super:
        late_and_repeated_releases_change_nothing,
        an_attach_that_waited_reconciles_again,
        an_interface_name_is_free_after_its_owner_died,
        a_lost_vf_with_a_foreign_driver_is_kept,
        a_vf_under_a_macvlan_is_not_claimed,
        a_pf_that_is_a_port_of_a_bridge_or_a_bond_serves_its_vfs,
        a_vf_is_quarantined_while_its_pf_is_in_another_netns,
        a_vf_that_returned_into_a_bridge_is_released,
        delete_of_a_missing_container_releases_its_vf,
        gc_removes_an_old_claim_of_a_free_vf,
        an_old_claim_does_not_release_the_vf_of_another_owner,
        a_claim_with_another_nonce_is_kept_while_its_owner_lives,
        repair_removes_an_unreadable_claim_of_a_missing_vf,
        a_truncated_claim_and_a_directory_are_kept_until_repair,
        a_vf_that_is_up_or_has_a_foreign_driver_is_never_claimed,
    );
}
