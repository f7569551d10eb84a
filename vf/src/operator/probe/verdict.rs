//! Pure: what was sent and what arrived → what is so, what is not, and what nobody can say.
//!
//! That something arrives is proven by its arrival. That something does not arrive is proven only where a frame sent later did, and
//! where it is known to have been sent; else nothing is said. Frames lost on the way refute nothing.

use serde::Serialize;

use super::exchange::FRAMES;
use super::testbed::Facts;
use super::topology::{Flow, Role, To, flows};
use crate::kernel::vf_settings::Settings;
use crate::nic::driver::{Driver, PromiscBy, driver};
use crate::nic::promisc::Obstacle;

use Verdict::{NotTestable, Proven, Refuted};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Proven,
    Refuted,
    /// The evidence says why.
    NotTestable,
}

/// What is known of one property now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub property: &'static str,
    pub verdict: Verdict,
    pub evidence: String,
    /// Of what is refuted: the reason that is known, and what to do about it if anything can be done.
    pub note: Option<String>,
}

type Said = (Verdict, String);

/// One finding for each property: always all of them, in the same order. `name` is the PF driver's, `obstacle` what keeps its VFs
/// from being promiscuous as things are.
pub(super) fn evaluate(
    facts: &Facts,
    name: Option<&str>,
    obstacle: Option<&Obstacle>,
) -> Vec<Finding> {
    let it =
        Judgement { facts, name: name.unwrap_or("its driver"), driver: driver(name), obstacle };
    let all = [
        ("vlan-set", it.vlan_set()),
        ("trust-set", it.trust_set()),
        ("own-unicast", it.of_frames(|it| it.delivered(To::Role(Role::Sensor)))),
        ("broadcast", it.of_frames(|it| it.delivered(To::Broadcast))),
        ("multicast", it.of_frames(|it| it.by_promiscuity(To::Group))),
        ("unknown-unicast", it.of_frames(|it| it.by_promiscuity(To::Nobody))),
        ("others-unicast", it.of_frames(Judgement::others_unicast)),
        ("tag-stripped", it.of_frames(Judgement::tag_stripped)),
        ("isolation", it.of_frames(Judgement::isolation)),
        ("trust-matters", it.of_frames(Judgement::trust_matters)),
    ];
    let finding = |(property, (verdict, evidence))| {
        let note = if verdict == Refuted { it.note(property) } else { None };
        Finding { property, verdict, evidence, note }
    };
    all.map(finding).into()
}

struct Judgement<'a> {
    facts: &'a Facts,
    name: &'a str,
    driver: Driver,
    obstacle: Option<&'a Obstacle>,
}

impl Judgement<'_> {
    fn vlan_set(&self) -> Said {
        let want = u32::from(self.facts.vlans.vlan);
        self.set(&format!("VLAN {want}"), |sensor| sensor.vlan == want)
    }

    fn trust_set(&self) -> Said {
        self.set("trust", |sensor| sensor.trust)
    }

    fn set(&self, what: &str, is: impl Fn(&Settings) -> bool) -> Said {
        let Facts { sensor, blocked, .. } = self.facts;
        match (sensor, blocked) {
            (Some(sensor), _) if is(sensor) => (Proven, format!("{what} was set and reads back")),
            (_, Some(why)) => (Refuted, why.clone()),
            _ => (Refuted, format!("{what} was set and does not read back")),
        }
    }

    /// What frames tell, if any passes at all.
    fn of_frames(&self, look: impl Fn(&Self) -> Said) -> Said {
        self.nothing_passes().unwrap_or_else(|| look(self))
    }

    fn nothing_passes(&self) -> Option<Said> {
        let Facts { blocked, seen, .. } = self.facts;
        let nothing = "not one frame passes from VF to VF, so what does not arrive says nothing";
        let passes = seen.opened.contains(&Role::Sensor);
        let why = blocked.clone().or_else(|| (!passes).then(|| nothing.to_owned()));
        why.map(|why| (NotTestable, why))
    }

    /// What a sensor must see of its VLAN.
    fn delivered(&self, to: To) -> Said {
        let seen = &self.facts.seen;
        let (count, sent) = (seen.count(Role::Sender, to, Role::Sensor), usize::from(FRAMES));
        let arrived = format!("{count} of {sent} arrived");
        match count {
            0 if seen.closed.contains(&Role::Sensor) => {
                (Refuted, format!("{arrived}, though a frame sent later did"))
            }
            0 => (NotTestable, format!("{arrived}, nor did any frame sent later")),
            all if all == sent => (Proven, arrived),
            _ => (
                NotTestable,
                format!("{arrived}: frames get lost, try again when less is going on"),
            ),
        }
    }

    fn by_promiscuity(&self, to: To) -> Said {
        match self.delivered(to) {
            (Refuted, arrived) if self.driver.wire_only => (
                NotTestable,
                format!(
                    "{arrived}; {} shows promiscuous VFs what comes by the wire only",
                    self.name
                ),
            ),
            said => said,
        }
    }

    fn has(&self, role: Role) -> bool {
        self.facts.roles.contains(&role)
    }

    fn no_peer(&self) -> Said {
        let free = self.facts.roles.len();
        let why = match free {
            4 => "4 free VFs were needed for `isolation`; with 5 this is tried, too".to_owned(),
            _ => format!("this takes 3 free VFs, and there are {free}"),
        };
        (NotTestable, why)
    }

    fn others_unicast(&self) -> Said {
        if !self.has(Role::Peer) {
            return self.no_peer();
        }
        let to = To::Role(Role::Peer);
        match self.facts.seen.count(Role::Sender, to, Role::Peer) {
            0 => (NotTestable, "the VF that they were for did not get them either".to_owned()),
            _ => self.by_promiscuity(to),
        }
    }

    fn tag_stripped(&self) -> Said {
        let seen = &self.facts.seen;
        let all = seen.all(Role::Sender, Role::Sensor);
        match seen.tagged(Role::Sensor) {
            0 => (Proven, format!("none of {all} frames came with a tag")),
            some => (Refuted, format!("{some} of {all} frames came with a tag")),
        }
    }

    /// Both ways, whoever sees it: a VLAN that leaks into another leaks.
    fn isolation(&self) -> Said {
        let Facts { roles, seen, vlans, .. } = self.facts;
        let theirs = |from: Role| {
            let foreign_netns = roles.iter().filter(move |at| at.is_other() != from.is_other());
            foreign_netns.map(|at| seen.all(from, *at)).sum::<usize>()
        };
        let (came, went) = (theirs(Role::OtherSender), theirs(Role::Sender));
        let sent = |by: Role| {
            let of = |flow: &&Flow| flow.from == by && flow.to != To::Control;
            flows(roles).iter().filter(of).count() * usize::from(FRAMES)
        };
        let alive = |role| seen.opened.contains(&role) && seen.closed.contains(&role);
        let witnessed = seen.count(Role::OtherSender, To::Broadcast, Role::OtherSensor) > 0;
        if came + went > 0 {
            let (vlan, other) = (vlans.vlan, vlans.other);
            return (
                Refuted,
                format!(
                    "{came} frames of VLAN {other} were seen on {vlan}, {went} of {vlan} on {other}"
                ),
            );
        }
        if !self.has(Role::OtherSensor) {
            return (NotTestable, format!("this takes 4 free VFs, and there are {}", roles.len()));
        }
        if !witnessed || !alive(Role::OtherSensor) || !alive(Role::Sensor) {
            let why = "nothing was seen, but nor were frames that should have been";
            return (NotTestable, why.to_owned());
        }
        let (vlan, other) = (vlans.vlan, vlans.other);
        let (theirs, ours) = (sent(Role::OtherSender), sent(Role::Sender));
        (
            Proven,
            format!(
                "none of {theirs} frames of VLAN {other} was seen on {vlan}, none of {ours} of {vlan} on {other}"
            ),
        )
    }

    /// The same frames, at a VF that is told to be promiscuous and is not trusted.
    fn trust_matters(&self) -> Said {
        let seen = &self.facts.seen;
        if !self.has(Role::Peer) {
            return self.no_peer();
        }
        let at = |role| seen.count(Role::Sender, To::Nobody, role);
        match (at(Role::Sensor), at(Role::Peer)) {
            (0, 0) => (NotTestable, "the trusted VF saw no unknown unicast either".to_owned()),
            (_, 0) if seen.closed.contains(&Role::Peer) => {
                (Proven, "an untrusted VF saw none of the unknown unicast".to_owned())
            }
            (_, 0) => {
                (NotTestable, "an untrusted VF saw none, nor any frame sent later".to_owned())
            }
            (_, some) => (
                Refuted,
                format!("an untrusted VF saw {some} of {FRAMES} frames of unknown unicast"),
            ),
        }
    }

    fn note(&self, property: &str) -> Option<String> {
        let known = match (property, self.driver.promisc) {
            ("multicast", PromiscBy::PfAlone) => "no VF of igb asks for groups that nobody joined",
            ("others-unicast", PromiscBy::PfAlone) => {
                "igb gives such a frame to the VF of that address alone"
            }
            ("trust-matters", PromiscBy::PfAlone) => {
                "igb's VFs see it by the PF's promiscuity, trusted or not"
            }
            ("multicast" | "unknown-unicast" | "others-unicast", _) => {
                return self.obstacle.map(|it| format!("{}; {}", it.why, it.mend));
            }
            _ => return None,
        };
        Some(known.to_owned())
    }
}

#[cfg(test)]
mod tests;
