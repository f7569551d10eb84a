//! Pure: evaluates the evidence of a probe. Each property is proven, refuted or not testable.
//!
//! An arrival proves that a VF receives such frames. A missing frame proves that it does not only
//! if the frame is known to have been sent and a later frame arrived; otherwise the property is not
//! testable. If only some frames of a flow arrive, frames were lost, which refutes nothing.

use serde::Serialize;

use super::cause::known_cause;
use super::evidence::Evidence;
use super::exchange::FRAMES;
use super::topology::{Flow, Role, To, flows};
use crate::kernel::vf_settings::Settings;
use crate::nic::driver::{Driver, driver};
use crate::nic::promisc::Obstacle;

use Verdict::{NotTestable, Proven, Refuted};

/// The result for one property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Proven,
    Refuted,
    /// The evidence text gives the reason.
    NotTestable,
}

/// The verdict on one property, with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub property: &'static str,
    pub verdict: Verdict,
    pub evidence: String,
    /// For a refuted property: the known cause, and the remedy if there is one.
    pub note: Option<String>,
}

/// A verdict and the text of its evidence.
type Outcome = (Verdict, String);

/// Returns one finding for each property, always in the same order. `name` is the name of the PF
/// driver; `obstacle` is the reason why its VFs cannot be promiscuous now.
pub(super) fn evaluate(
    evidence: &Evidence,
    name: Option<&str>,
    obstacle: Option<&Obstacle>,
) -> Vec<Finding> {
    let evaluation =
        Evaluation { evidence, name: name.unwrap_or("its driver"), driver: driver(name) };
    let all = [
        ("vlan-set", evaluation.vlan_set()),
        ("trust-set", evaluation.trust_set()),
        ("own-unicast", evaluation.if_frames_pass(|it| it.delivered(To::Role(Role::Sensor)))),
        ("broadcast", evaluation.if_frames_pass(|it| it.delivered(To::Broadcast))),
        ("multicast", evaluation.if_frames_pass(|it| it.delivered_if_promiscuous(To::Group))),
        (
            "unknown-unicast",
            evaluation.if_frames_pass(|it| it.delivered_if_promiscuous(To::UnknownAddress)),
        ),
        ("others-unicast", evaluation.if_frames_pass(Evaluation::receives_others_unicast)),
        ("tag-stripped", evaluation.if_frames_pass(Evaluation::tag_stripped)),
        ("isolation", evaluation.if_frames_pass(Evaluation::isolation)),
        ("trust-matters", evaluation.if_frames_pass(Evaluation::trust_matters)),
    ];
    let finding = |(property, (verdict, evidence))| {
        let note = if verdict == Refuted {
            known_cause(property, &evaluation.driver, obstacle)
        } else {
            None
        };
        Finding { property, verdict, evidence, note }
    };
    all.map(finding).into()
}

struct Evaluation<'a> {
    evidence: &'a Evidence,
    name: &'a str,
    driver: Driver,
}

impl Evaluation<'_> {
    fn vlan_set(&self) -> Outcome {
        let want = u32::from(self.evidence.vlans.vlan);
        self.reads_back(&format!("VLAN {want}"), |sensor| sensor.vlan == want)
    }

    fn trust_set(&self) -> Outcome {
        self.reads_back("trust", |sensor| sensor.trust)
    }

    /// Whether a setting of the sensor reads back.
    fn reads_back(&self, what: &str, is_set: impl Fn(&Settings) -> bool) -> Outcome {
        let Evidence { sensor, blocked, .. } = self.evidence;
        match (sensor, blocked) {
            (Some(sensor), _) if is_set(sensor) => {
                (Proven, format!("{what} was set and reads back"))
            }
            (_, Some(why)) => (Refuted, why.clone()),
            _ => (Refuted, format!("{what} was set but does not read back")),
        }
    }

    /// Evaluates a property of frames. It is not testable if no frame passes at all.
    fn if_frames_pass(&self, evaluate: impl Fn(&Self) -> Outcome) -> Outcome {
        self.no_frame_passes().unwrap_or_else(|| evaluate(self))
    }

    fn no_frame_passes(&self) -> Option<Outcome> {
        let Evidence { blocked, arrivals, .. } = self.evidence;
        let none = "no frame passes between the VFs, so missing frames prove nothing";
        let passes = arrivals.reached_before.contains(&Role::Sensor);
        let why = blocked.clone().or_else(|| (!passes).then(|| none.to_owned()));
        why.map(|why| (NotTestable, why))
    }

    /// Whether the sensor receives all frames of a flow of its VLAN.
    fn delivered(&self, to: To) -> Outcome {
        let arrivals = &self.evidence.arrivals;
        let (count, sent) = (arrivals.count(Role::Sender, to, Role::Sensor), usize::from(FRAMES));
        let arrived = format!("{count} of {sent} arrived");
        match count {
            0 if arrivals.reached_after.contains(&Role::Sensor) => {
                (Refuted, format!("{arrived}, but a later frame did"))
            }
            0 => (NotTestable, format!("{arrived}, and no later frame did")),
            all if all == sent => (Proven, arrived),
            _ => (
                NotTestable,
                format!("{arrived}: frames were lost; try again when there is less traffic"),
            ),
        }
    }

    /// Whether the sensor receives frames that only a promiscuous VF receives.
    fn delivered_if_promiscuous(&self, to: To) -> Outcome {
        match self.delivered(to) {
            (Refuted, arrived) if self.driver.wire_only => (
                NotTestable,
                format!(
                    "{arrived}; with {}, promiscuous VFs see only frames from the wire",
                    self.name
                ),
            ),
            result => result,
        }
    }

    fn has(&self, role: Role) -> bool {
        self.evidence.roles.contains(&role)
    }

    /// The result of a property that needs a peer, without a peer.
    fn no_peer(&self) -> Outcome {
        let free = self.evidence.roles.len();
        let why = match free {
            4 => "the 4 free VFs were used to test `isolation`; this test needs 5".to_owned(),
            _ => format!("needs 3 free VFs, but there are {free}"),
        };
        (NotTestable, why)
    }

    fn receives_others_unicast(&self) -> Outcome {
        if !self.has(Role::Peer) {
            return self.no_peer();
        }
        let to = To::Role(Role::Peer);
        match self.evidence.arrivals.count(Role::Sender, to, Role::Peer) {
            0 => (NotTestable, "the destination VF did not receive them either".to_owned()),
            _ => self.delivered_if_promiscuous(to),
        }
    }

    fn tag_stripped(&self) -> Outcome {
        let arrivals = &self.evidence.arrivals;
        let all = arrivals.count_from(Role::Sender, Role::Sensor);
        match arrivals.count_tagged(Role::Sensor) {
            0 => (Proven, format!("none of {all} frames had a VLAN tag")),
            some => (Refuted, format!("{some} of {all} frames had a VLAN tag")),
        }
    }

    /// Whether frames leak from one VLAN to the other, in either direction and to any VF.
    fn isolation(&self) -> Outcome {
        let Evidence { roles, arrivals, vlans, .. } = self.evidence;
        let leaked_in = self.evidence.count_leaked(Role::OtherSender);
        let leaked_out = self.evidence.count_leaked(Role::Sender);
        let sent_by = |sender: Role| {
            let counts = |flow: &&Flow| flow.from == sender && flow.to != To::Control;
            flows(roles).iter().filter(counts).count() * usize::from(FRAMES)
        };
        let reached = |role| {
            arrivals.reached_before.contains(&role) && arrivals.reached_after.contains(&role)
        };
        let witnessed = arrivals.count(Role::OtherSender, To::Broadcast, Role::OtherSensor) > 0;
        if leaked_in + leaked_out > 0 {
            let (vlan, other) = (vlans.vlan, vlans.other);
            return (
                Refuted,
                format!(
                    "{leaked_in} frames of VLAN {other} were seen on {vlan}, {leaked_out} of {vlan} on {other}"
                ),
            );
        }
        if !self.has(Role::OtherSensor) {
            return (NotTestable, format!("needs 4 free VFs, but there are {}", roles.len()));
        }
        if !witnessed || !reached(Role::OtherSensor) || !reached(Role::Sensor) {
            let why = "no leaked frame was seen, but expected frames were missing, too";
            return (NotTestable, why.to_owned());
        }
        let (vlan, other) = (vlans.vlan, vlans.other);
        let (sent_on_other, sent_on_vlan) = (sent_by(Role::OtherSender), sent_by(Role::Sender));
        (
            Proven,
            format!(
                "none of {sent_on_other} frames of VLAN {other} was seen on {vlan}, none of {sent_on_vlan} of {vlan} on {other}"
            ),
        )
    }

    /// Whether an untrusted VF that is set promiscuous does not see the unknown unicast that the
    /// trusted sensor sees.
    fn trust_matters(&self) -> Outcome {
        let arrivals = &self.evidence.arrivals;
        if !self.has(Role::Peer) {
            return self.no_peer();
        }
        let at = |role| arrivals.count(Role::Sender, To::UnknownAddress, role);
        match (at(Role::Sensor), at(Role::Peer)) {
            (0, 0) => (NotTestable, "the trusted VF saw no unknown unicast either".to_owned()),
            (_, 0) if arrivals.reached_after.contains(&Role::Peer) => {
                (Proven, "an untrusted VF saw none of the unknown unicast".to_owned())
            }
            (_, 0) => {
                (NotTestable, "an untrusted VF saw none, and no later frame either".to_owned())
            }
            (_, some) => (
                Refuted,
                format!("an untrusted VF saw {some} of {FRAMES} frames of unknown unicast"),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
