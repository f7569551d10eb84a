use super::*;
use crate::operator::probe::evidence::Arrivals;
use crate::operator::probe::topology::{Vlans, topology};

const VLANS: Vlans = Vlans { vlan: 4094, other: 4093 };

/// The evidence of a card that works as runvf needs it: a trusted VF sees all frames of its VLAN,
/// any other VF only frames for it.
fn ideal(free: usize) -> Evidence {
    let roles = topology(free).to_vec();
    let mut arrivals = Arrivals::default();
    for flow in flows(&roles) {
        let same_vlan =
            |at: &&Role| **at != flow.from && at.is_on_other_vlan() == flow.from.is_on_other_vlan();
        for at in roles.iter().filter(same_vlan) {
            let addressed =
                matches!(flow.to, To::Broadcast | To::Control) || flow.to == To::Role(*at);
            if addressed || at.trusted() {
                (0..FRAMES).for_each(|number| arrivals.add(flow, *at, number, false));
            }
        }
    }
    arrivals.reached_before = roles.iter().copied().filter(|role| !role.sends()).collect();
    arrivals.reached_after = arrivals.reached_before.clone();
    let sensor = Settings { vlan: 4094, trust: true, ..Settings::default() };
    Evidence { vlans: VLANS, roles, sensor: Some(sensor), blocked: None, arrivals }
}

/// Removes the arrivals of one flow of `Sender` at one VF.
fn forget(evidence: &mut Evidence, to: To, at: Role) {
    let old = std::mem::take(&mut evidence.arrivals);
    evidence.arrivals.reached_before = old.reached_before.clone();
    evidence.arrivals.reached_after = old.reached_after.clone();
    for flow in flows(&evidence.roles) {
        for role in evidence.roles.clone() {
            if (flow.from, flow.to, role) != (Role::Sender, to, at) {
                let count = old.count(flow.from, flow.to, role) as u16;
                (0..count).for_each(|number| evidence.arrivals.add(flow, role, number, false));
            }
        }
    }
}

/// Adds arrivals.
fn add_arrivals(evidence: &mut Evidence, from: Role, to: To, at: Role, count: u16) {
    (0..count).for_each(|number| evidence.arrivals.add(Flow { from, to }, at, number, false));
}

fn finding_of(evidence: &Evidence, driver: &str, property: &str) -> Finding {
    let findings = evaluate(evidence, Some(driver), None);
    findings.into_iter().find(|finding| finding.property == property).unwrap()
}

fn properties_with(evidence: &Evidence, driver: &str, verdict: Verdict) -> Vec<&'static str> {
    let findings = evaluate(evidence, Some(driver), None);
    findings
        .iter()
        .filter(|finding| finding.verdict == verdict)
        .map(|finding| finding.property)
        .collect()
}

#[test]
fn an_ideal_card_has_all_properties_proven() {
    let evidence = ideal(5);
    assert_eq!(
        properties_with(&evidence, "i40e", Proven).len(),
        10,
        "{:#?}",
        evaluate(&evidence, Some("i40e"), None)
    );
    assert_eq!(
        finding_of(&evidence, "i40e", "isolation").evidence,
        "none of 60 frames of VLAN 4093 was seen on 4094, none of 60 of 4094 on 4093"
    );
}

#[test]
fn properties_that_need_more_vfs_are_not_testable() {
    let need_a_peer = ["others-unicast", "trust-matters"];
    assert_eq!(
        properties_with(&ideal(2), "ice", NotTestable),
        ["others-unicast", "isolation", "trust-matters"]
    );
    assert_eq!(properties_with(&ideal(3), "ice", NotTestable), ["isolation"]);
    assert_eq!(properties_with(&ideal(4), "ice", NotTestable), need_a_peer);
    for free in 2..=4 {
        assert_eq!(properties_with(&ideal(free), "ice", Refuted), [""; 0]);
    }
    let text = |free, property| finding_of(&ideal(free), "ice", property).evidence;
    assert_eq!(text(2, "isolation"), "needs 4 free VFs, but there are 2");
    assert_eq!(text(2, "trust-matters"), "needs 3 free VFs, but there are 2");
}

#[test]
fn a_missing_frame_refutes_only_if_a_later_frame_arrives() {
    for (to, property) in [
        (To::Role(Role::Sensor), "own-unicast"),
        (To::Broadcast, "broadcast"),
        (To::Group, "multicast"),
        (To::UnknownAddress, "unknown-unicast"),
        (To::Role(Role::Peer), "others-unicast"),
    ] {
        let mut evidence = ideal(5);
        forget(&mut evidence, to, Role::Sensor);
        assert_eq!(finding_of(&evidence, "i40e", property).verdict, Refuted, "{property}");
        evidence.arrivals.reached_after.remove(&Role::Sensor);
        assert_eq!(finding_of(&evidence, "i40e", property).verdict, NotTestable, "{property}");
        add_arrivals(&mut evidence, Role::Sender, to, Role::Sensor, FRAMES - 1);
        evidence.arrivals.reached_after.insert(Role::Sensor);
        assert_eq!(
            finding_of(&evidence, "i40e", property).verdict,
            NotTestable,
            "only some frames arrived"
        );
    }
}

#[test]
fn one_leaked_frame_refutes_isolation_and_proof_needs_a_witness() {
    for (from, at) in [
        (Role::OtherSender, Role::Sensor),
        (Role::OtherSender, Role::Peer),
        (Role::OtherSender, Role::Sender),
        (Role::Sender, Role::OtherSensor),
    ] {
        let mut evidence = ideal(5);
        add_arrivals(&mut evidence, from, To::Control, at, 1);
        assert_eq!(
            finding_of(&evidence, "i40e", "isolation").verdict,
            Refuted,
            "{from:?} at {at:?}"
        );
        evidence.arrivals.reached_after.clear();
        assert_eq!(
            finding_of(&evidence, "i40e", "isolation").verdict,
            Refuted,
            "also without later frames"
        );
    }
    for role in [Role::Sensor, Role::OtherSensor] {
        let mut evidence = ideal(5);
        evidence.arrivals.reached_after.remove(&role);
        assert_eq!(finding_of(&evidence, "i40e", "isolation").verdict, NotTestable, "{role:?}");
    }
    let mut evidence = ideal(5);
    evidence.arrivals.reached_before.remove(&Role::OtherSensor);
    assert_eq!(finding_of(&evidence, "i40e", "isolation").verdict, NotTestable);
}

#[test]
fn trust_matters_only_if_the_trusted_vf_sees_more() {
    let mut evidence = ideal(5);
    add_arrivals(&mut evidence, Role::Sender, To::UnknownAddress, Role::Peer, 1);
    let finding = finding_of(&evidence, "igb", "trust-matters");
    assert_eq!(finding.verdict, Refuted);
    assert_eq!(finding.evidence, "an untrusted VF saw 1 of 10 frames of unknown unicast");
    assert!(finding.note.unwrap().contains("trusted or not"));

    let mut evidence = ideal(5);
    forget(&mut evidence, To::UnknownAddress, Role::Sensor);
    assert_eq!(finding_of(&evidence, "i40e", "trust-matters").verdict, NotTestable);
    let mut evidence = ideal(5);
    evidence.arrivals.reached_after.remove(&Role::Peer);
    assert_eq!(finding_of(&evidence, "i40e", "trust-matters").verdict, NotTestable);
}

#[test]
fn no_property_of_frames_is_testable_if_no_frame_passes() {
    let mut evidence = ideal(5);
    evidence.arrivals = Arrivals::default();
    assert_eq!(properties_with(&evidence, "ice", Proven), ["vlan-set", "trust-set"]);
    assert_eq!(properties_with(&evidence, "ice", NotTestable).len(), 8);
    evidence.blocked = Some("no carrier".to_owned());
    assert_eq!(finding_of(&evidence, "ice", "isolation").evidence, "no carrier");
}

#[test]
fn a_refusal_of_the_driver_is_the_evidence() {
    let blocked = Some("VF x: cannot set trust".to_owned());
    let sensor = Some(Settings { vlan: 4094, ..Settings::default() });
    let evidence = Evidence { blocked, sensor, ..ideal(2) };
    assert_eq!(properties_with(&evidence, "new", Proven), ["vlan-set"]);
    assert_eq!(properties_with(&evidence, "new", Refuted), ["trust-set"]);
    assert_eq!(finding_of(&evidence, "new", "trust-set").evidence, "VF x: cannot set trust");
}

#[test]
fn a_frame_with_a_tag_refutes_tag_stripped() {
    let mut evidence = ideal(2);
    let flow = Flow { from: Role::Sender, to: To::Broadcast };
    evidence.arrivals.add(flow, Role::Sensor, 0, true);
    assert_eq!(finding_of(&evidence, "i40e", "tag-stripped").verdict, Refuted);
}

/// On mlx5 a promiscuous VF does not see frames of other VFs. This does not refute that it sees
/// frames from the wire.
#[test]
fn properties_that_need_frames_from_the_wire_are_not_testable() {
    let mut evidence = ideal(5);
    for to in [To::Group, To::UnknownAddress, To::Role(Role::Peer)] {
        forget(&mut evidence, to, Role::Sensor);
    }
    let not_testable = ["multicast", "unknown-unicast", "others-unicast", "trust-matters"];
    assert_eq!(properties_with(&evidence, "mlx5_core", NotTestable), not_testable);
    assert_eq!(properties_with(&evidence, "mlx5_core", Refuted), [""; 0]);
    assert!(
        finding_of(&evidence, "mlx5_core", "multicast")
            .evidence
            .contains("see only frames from the wire")
    );
}

#[test]
fn an_obstacle_is_the_note_of_the_property_that_it_explains() {
    let mut evidence = ideal(5);
    forget(&mut evidence, To::UnknownAddress, Role::Sensor);
    let obstacle = Obstacle { why: "the flag is off".to_owned(), remedy: "turn it on".to_owned() };
    let findings = evaluate(&evidence, Some("i40e"), Some(&obstacle));
    let notes: Vec<_> = findings.iter().filter_map(|finding| finding.note.as_deref()).collect();
    assert_eq!(notes, ["the flag is off; turn it on"]);
}
