use super::*;
use crate::operator::probe::exchange::Seen;
use crate::operator::probe::topology::{Vlans, topology};

const VLANS: Vlans = Vlans { vlan: 4094, other: 4093 };

/// What a card does as runvf needs it: everything of a VLAN is seen by whoever is trusted, and by whom it is for.
fn ideal(free: usize) -> Facts {
    let roles = topology(free).to_vec();
    let mut seen = Seen::default();
    for flow in flows(&roles) {
        let same = |at: &&Role| **at != flow.from && at.is_other() == flow.from.is_other();
        for at in roles.iter().filter(same) {
            let for_it = matches!(flow.to, To::Broadcast | To::Control) || flow.to == To::Role(*at);
            if for_it || at.trusted() {
                (0..FRAMES).for_each(|number| seen.add(flow, *at, number, false));
            }
        }
    }
    seen.opened = roles.iter().copied().filter(|role| !role.sends()).collect();
    seen.closed = seen.opened.clone();
    let sensor = Settings { vlan: 4094, trust: true, ..Settings::default() };
    Facts { vlans: VLANS, roles, sensor: Some(sensor), blocked: None, seen }
}

fn forget(facts: &mut Facts, to: To, at: Role) {
    let old = std::mem::take(&mut facts.seen);
    facts.seen.opened = old.opened.clone();
    facts.seen.closed = old.closed.clone();
    for flow in flows(&facts.roles) {
        for role in facts.roles.clone() {
            if (flow.from, flow.to, role) != (Role::Sender, to, at) {
                let count = old.count(flow.from, flow.to, role) as u16;
                (0..count).for_each(|number| facts.seen.add(flow, role, number, false));
            }
        }
    }
}

fn see(facts: &mut Facts, from: Role, to: To, at: Role, count: u16) {
    (0..count).for_each(|number| facts.seen.add(Flow { from, to }, at, number, false));
}

fn of(facts: &Facts, driver: &str, property: &str) -> Finding {
    let findings = evaluate(facts, Some(driver), None);
    findings.into_iter().find(|finding| finding.property == property).unwrap()
}

fn those(facts: &Facts, driver: &str, verdict: Verdict) -> Vec<&'static str> {
    let findings = evaluate(facts, Some(driver), None);
    findings.iter().filter(|one| one.verdict == verdict).map(|one| one.property).collect()
}

#[test]
fn a_card_that_does_it_all_has_all_proven() {
    let facts = ideal(5);
    assert_eq!(
        those(&facts, "i40e", Proven).len(),
        10,
        "{:#?}",
        evaluate(&facts, Some("i40e"), None)
    );
    assert_eq!(
        of(&facts, "i40e", "isolation").evidence,
        "none of 60 frames of VLAN 4093 was seen on 4094, none of 60 of 4094 on 4093"
    );
}

#[test]
fn fewer_vfs_leave_open_what_they_cannot_tell() {
    let third = ["others-unicast", "trust-matters"];
    assert_eq!(
        those(&ideal(2), "ice", NotTestable),
        ["others-unicast", "isolation", "trust-matters"]
    );
    assert_eq!(those(&ideal(3), "ice", NotTestable), ["isolation"]);
    assert_eq!(those(&ideal(4), "ice", NotTestable), third);
    for free in 2..=4 {
        assert_eq!(those(&ideal(free), "ice", Refuted), [""; 0]);
    }
    let evidence = |free, property| of(&ideal(free), "ice", property).evidence;
    assert_eq!(evidence(2, "isolation"), "this takes 4 free VFs, and there are 2");
    assert_eq!(evidence(2, "trust-matters"), "this takes 3 free VFs, and there are 2");
}

#[test]
fn what_does_not_arrive_is_refuted_only_if_something_later_does() {
    for (to, property) in [
        (To::Role(Role::Sensor), "own-unicast"),
        (To::Broadcast, "broadcast"),
        (To::Group, "multicast"),
        (To::Nobody, "unknown-unicast"),
        (To::Role(Role::Peer), "others-unicast"),
    ] {
        let mut facts = ideal(5);
        forget(&mut facts, to, Role::Sensor);
        assert_eq!(of(&facts, "i40e", property).verdict, Refuted, "{property}");
        facts.seen.closed.remove(&Role::Sensor);
        assert_eq!(of(&facts, "i40e", property).verdict, NotTestable, "{property}");
        see(&mut facts, Role::Sender, to, Role::Sensor, FRAMES - 1);
        facts.seen.closed.insert(Role::Sensor);
        assert_eq!(of(&facts, "i40e", property).verdict, NotTestable, "some were lost");
    }
}

#[test]
fn one_stranger_is_enough_and_none_needs_a_witness() {
    for (from, at) in [
        (Role::OtherSender, Role::Sensor),
        (Role::OtherSender, Role::Peer),
        (Role::OtherSender, Role::Sender),
        (Role::Sender, Role::OtherSensor),
    ] {
        let mut facts = ideal(5);
        see(&mut facts, from, To::Control, at, 1);
        assert_eq!(of(&facts, "i40e", "isolation").verdict, Refuted, "{from:?} at {at:?}");
        facts.seen.closed.clear();
        assert_eq!(of(&facts, "i40e", "isolation").verdict, Refuted, "whatever else is not known");
    }
    for role in [Role::Sensor, Role::OtherSensor] {
        let mut facts = ideal(5);
        facts.seen.closed.remove(&role);
        assert_eq!(of(&facts, "i40e", "isolation").verdict, NotTestable, "{role:?}");
    }
    let mut facts = ideal(5);
    facts.seen.opened.remove(&Role::OtherSensor);
    assert_eq!(of(&facts, "i40e", "isolation").verdict, NotTestable);
}

#[test]
fn trust_matters_only_where_the_trusted_see_more() {
    let mut facts = ideal(5);
    see(&mut facts, Role::Sender, To::Nobody, Role::Peer, 1);
    let finding = of(&facts, "igb", "trust-matters");
    assert_eq!(finding.verdict, Refuted);
    assert_eq!(finding.evidence, "an untrusted VF saw 1 of 10 frames of unknown unicast");
    assert!(finding.note.unwrap().contains("trusted or not"));

    let mut facts = ideal(5);
    forget(&mut facts, To::Nobody, Role::Sensor);
    assert_eq!(of(&facts, "i40e", "trust-matters").verdict, NotTestable);
    let mut facts = ideal(5);
    facts.seen.closed.remove(&Role::Peer);
    assert_eq!(of(&facts, "i40e", "trust-matters").verdict, NotTestable);
}

#[test]
fn where_nothing_passes_nothing_is_said_of_frames() {
    let mut facts = ideal(5);
    facts.seen = Seen::default();
    assert_eq!(those(&facts, "ice", Proven), ["vlan-set", "trust-set"]);
    assert_eq!(those(&facts, "ice", NotTestable).len(), 8);
    facts.blocked = Some("no carrier".to_owned());
    assert_eq!(of(&facts, "ice", "isolation").evidence, "no carrier");
}

#[test]
fn a_refusal_of_the_driver_is_told_as_it_is() {
    let blocked = Some("VF x: cannot set trust".to_owned());
    let sensor = Some(Settings { vlan: 4094, ..Settings::default() });
    let facts = Facts { blocked, sensor, ..ideal(2) };
    assert_eq!(those(&facts, "new", Proven), ["vlan-set"]);
    assert_eq!(those(&facts, "new", Refuted), ["trust-set"]);
    assert_eq!(of(&facts, "new", "trust-set").evidence, "VF x: cannot set trust");
}

#[test]
fn a_tag_is_seen() {
    let mut facts = ideal(2);
    let flow = Flow { from: Role::Sender, to: To::Broadcast };
    facts.seen.add(flow, Role::Sensor, 0, true);
    assert_eq!(of(&facts, "i40e", "tag-stripped").verdict, Refuted);
}

/// mlx5 shows a promiscuous VF nothing that other VFs send, which refutes nothing of what comes by the wire.
#[test]
fn what_only_the_wire_can_tell_is_left_open() {
    let mut facts = ideal(5);
    for to in [To::Group, To::Nobody, To::Role(Role::Peer)] {
        forget(&mut facts, to, Role::Sensor);
    }
    let open = ["multicast", "unknown-unicast", "others-unicast", "trust-matters"];
    assert_eq!(those(&facts, "mlx5_core", NotTestable), open);
    assert_eq!(those(&facts, "mlx5_core", Refuted), [""; 0]);
    assert!(of(&facts, "mlx5_core", "multicast").evidence.contains("by the wire only"));
}

#[test]
fn an_obstacle_is_the_note_of_what_it_explains() {
    let mut facts = ideal(5);
    forget(&mut facts, To::Nobody, Role::Sensor);
    let obstacle = Obstacle { why: "the flag is off".to_owned(), mend: "turn it on".to_owned() };
    let findings = evaluate(&facts, Some("i40e"), Some(&obstacle));
    let notes: Vec<_> = findings.iter().filter_map(|one| one.note.as_deref()).collect();
    assert_eq!(notes, ["the flag is off; turn it on"]);
}
