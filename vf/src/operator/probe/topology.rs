//! Pure: who takes part, on which VLAN, and what is sent to whom.

use std::collections::BTreeSet;

use super::options::ProbeOptions;
use crate::policy::config::Tenant;

/// What a VF is there for. Only what is trusted would be promiscuous on a card as runvf needs it; all are told to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The sensor in question.
    Sensor,
    /// Sends on its VLAN.
    Sender,
    /// On the same VLAN as these, untrusted: what others may be sent, and what trust is good for.
    Peer,
    /// Sends on the other VLAN.
    OtherSender,
    /// A sensor there: the witness that what was sent there was sent.
    OtherSensor,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sensor => "sensor",
            Self::Sender => "sender",
            Self::Peer => "peer",
            Self::OtherSender => "other-sender",
            Self::OtherSensor => "other-sensor",
        }
    }

    pub(super) fn trusted(self) -> bool {
        matches!(self, Self::Sensor | Self::OtherSensor)
    }

    pub(super) fn sends(self) -> bool {
        matches!(self, Self::Sender | Self::OtherSender)
    }

    /// Whether it is on the VLAN of which the sensor must see nothing.
    pub(super) fn is_other(self) -> bool {
        matches!(self, Self::OtherSender | Self::OtherSensor)
    }
}

/// The roles that so many VFs can play: isolation comes before what a third VF would tell. None with fewer than two.
pub(super) fn topology(free: usize) -> &'static [Role] {
    use Role::{OtherSender, OtherSensor, Peer, Sender, Sensor};
    match free {
        0 | 1 => &[],
        2 => &[Sensor, Sender],
        3 => &[Sensor, Sender, Peer],
        4 => &[Sensor, Sender, OtherSender, OtherSensor],
        _ => &[Sensor, Sender, Peer, OtherSender, OtherSensor],
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Vlans {
    /// The sensor's.
    pub(super) vlan: u16,
    pub(super) other: u16,
}

impl Vlans {
    /// What was asked for, and for what was not the highest VLANs that nobody has. `None`: there are none.
    ///
    /// The highest, since switches keep many of those to themselves and drop them (Cisco's Nexus from 3968 on).
    pub(super) fn choose(
        options: &ProbeOptions,
        used: &BTreeSet<u32>,
        tenants: &[Tenant],
    ) -> Option<Self> {
        let asked = [options.vlan, options.other];
        let spare = |vlan: &u16| {
            !used.contains(&u32::from(*vlan))
                && !asked.contains(&Some(*vlan))
                && !tenants.iter().any(|tenant| tenant.owns(*vlan))
        };
        let mut spare = (1..=4094).rev().filter(spare);
        let vlan = options.vlan.or_else(|| spare.next())?;
        let other = options.other.or_else(|| spare.next())?;
        Some(Self { vlan, other })
    }

    pub(super) fn of(self, role: Role) -> u16 {
        if role.is_other() { self.other } else { self.vlan }
    }
}

/// For whom a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum To {
    Broadcast,
    /// A group that nobody has joined.
    Group,
    /// An address that nobody has.
    Nobody,
    Role(Role),
    /// Everybody on the sender's VLAN, by broadcast and each by its own address: what tells whether anything passes at all.
    Control,
}

/// Frames of one kind from one VF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    pub(super) from: Role,
    pub(super) to: To,
}

/// All that is sent. Its place in here is what a frame carries.
pub(super) fn flows(roles: &[Role]) -> Vec<Flow> {
    let senders = roles.iter().copied().filter(|role| role.sends());
    let flows = senders.flat_map(|from| {
        let stations = roles.iter().filter(move |role| **role != from && !role.sends());
        let kinds = [To::Control, To::Broadcast, To::Group, To::Nobody];
        kinds
            .into_iter()
            .chain(stations.map(|role| To::Role(*role)))
            .map(move |to| Flow { from, to })
    });
    flows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(vlan: Option<u16>, other: Option<u16>) -> ProbeOptions {
        ProbeOptions { pf: "pf0".into(), vlan, other }
    }

    fn tenant(vlans: &str) -> Tenant {
        let vlans = vec![vlans.parse().unwrap()];
        Tenant {
            name: "acme".into(),
            vlans,
            proto: crate::kernel::vlan::VlanProto::Dot1Q,
            pools: None,
            max: None,
        }
    }

    #[test]
    fn a_vlan_that_somebody_has_is_not_taken_unless_it_is_asked_for() {
        let used = BTreeSet::from([4093, 100]);
        let tenants = [tenant("4000-4092")];
        let choose = |vlan, other| Vlans::choose(&options(vlan, other), &used, &tenants);
        assert_eq!(choose(None, None), Some(Vlans { vlan: 4094, other: 3999 }));
        assert_eq!(choose(Some(100), Some(4050)), Some(Vlans { vlan: 100, other: 4050 }));
        assert_eq!(choose(Some(4094), None), Some(Vlans { vlan: 4094, other: 3999 }));
        assert_eq!(choose(None, Some(4094)), Some(Vlans { vlan: 3999, other: 4094 }));
    }

    #[test]
    fn tenants_that_have_all_leave_none() {
        let tenants = [tenant("1-4094")];
        let choose = |vlan, other| Vlans::choose(&options(vlan, other), &BTreeSet::new(), &tenants);
        assert_eq!(choose(None, None), None);
        assert_eq!(choose(Some(1), None), None);
        assert!(choose(Some(1), Some(2)).is_some());
    }

    #[test]
    fn nobody_is_cast_twice_and_every_vlan_has_a_sender_and_a_sensor() {
        for free in 0..9 {
            let roles = topology(free);
            assert!(roles.len() <= free);
            assert_eq!(roles.iter().collect::<BTreeSet<_>>().len(), roles.len());
            for side in [false, true] {
                let there: Vec<_> = roles.iter().filter(|role| role.is_other() == side).collect();
                let both = there.iter().any(|role| role.sends())
                    && there.iter().any(|role| role.trusted());
                assert!(there.is_empty() || both, "{roles:?}");
            }
        }
    }

    #[test]
    fn what_is_sent_goes_to_both_sides() {
        let flows = flows(topology(5));
        assert_eq!(flows.len(), 2 * (4 + 3));
        for (from, to) in [(Role::Sender, Role::OtherSensor), (Role::OtherSender, Role::Sensor)] {
            assert!(flows.contains(&Flow { from, to: To::Role(to) }));
        }
    }
}
