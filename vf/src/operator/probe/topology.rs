//! Pure: the roles of the VFs, their VLANs, and the flows between them.

use std::collections::BTreeSet;

use super::options::ProbeOptions;
use crate::policy::config::Tenant;

/// The role of a VF. All VFs are set promiscuous, but a card that works as runvf needs it makes
/// only trusted VFs promiscuous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The sensor that is tested.
    Sensor,
    /// Sends on the sensor's VLAN.
    Sender,
    /// Untrusted, on the sensor's VLAN: receives unicast that is not for the sensor, and shows
    /// whether trust makes a difference.
    Peer,
    /// Sends on the other VLAN.
    OtherSender,
    /// A sensor on the other VLAN: proves that the frames on that VLAN were sent.
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

    /// Whether the VF is on the VLAN that must be invisible to the sensor.
    pub(super) fn is_on_other_vlan(self) -> bool {
        matches!(self, Self::OtherSender | Self::OtherSensor)
    }
}

/// The roles for a number of free VFs. With four, the isolation test takes precedence over the
/// tests that need a peer. With fewer than two there are no roles.
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
    /// The VLAN of the sensor.
    pub(super) vlan: u16,
    /// The VLAN that must be invisible to the sensor.
    pub(super) other: u16,
}

impl Vlans {
    /// Takes the VLANs of the options; for a missing one, the highest VLAN that no VF uses and no
    /// tenant owns. `None`: there is none.
    ///
    /// The highest, because many switches reserve the highest VLANs and drop their frames (Cisco
    /// Nexus: from 3968).
    pub(super) fn choose(
        options: &ProbeOptions,
        used: &BTreeSet<u32>,
        tenants: &[Tenant],
    ) -> Option<Self> {
        let requested = [options.vlan, options.other];
        let spare = |vlan: &u16| {
            !used.contains(&u32::from(*vlan))
                && !requested.contains(&Some(*vlan))
                && !tenants.iter().any(|tenant| tenant.owns(*vlan))
        };
        let mut spare = (1..=4094).rev().filter(spare);
        let vlan = options.vlan.or_else(|| spare.next())?;
        let other = options.other.or_else(|| spare.next())?;
        Some(Self { vlan, other })
    }

    pub(super) fn of(self, role: Role) -> u16 {
        if role.is_on_other_vlan() { self.other } else { self.vlan }
    }
}

/// The destination of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum To {
    Broadcast,
    /// A multicast group that no VF has joined.
    Group,
    /// A unicast address that no VF has.
    UnknownAddress,
    Role(Role),
    /// Every VF on the sender's VLAN, by broadcast and by its own address. Control frames show
    /// whether any frame passes at all.
    Control,
}

/// Frames of one kind from one VF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    pub(super) from: Role,
    pub(super) to: To,
}

/// All flows. Frames carry the index of their flow in this list.
pub(super) fn flows(roles: &[Role]) -> Vec<Flow> {
    let senders = roles.iter().copied().filter(|role| role.sends());
    let flows = senders.flat_map(|from| {
        let stations = roles.iter().filter(move |role| **role != from && !role.sends());
        let kinds = [To::Control, To::Broadcast, To::Group, To::UnknownAddress];
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
            namespaces: Vec::new(),
        }
    }

    #[test]
    fn a_used_vlan_is_chosen_only_if_it_is_requested() {
        let used = BTreeSet::from([4093, 100]);
        let tenants = [tenant("4000-4092")];
        let choose = |vlan, other| Vlans::choose(&options(vlan, other), &used, &tenants);
        assert_eq!(choose(None, None), Some(Vlans { vlan: 4094, other: 3999 }));
        assert_eq!(choose(Some(100), Some(4050)), Some(Vlans { vlan: 100, other: 4050 }));
        assert_eq!(choose(Some(4094), None), Some(Vlans { vlan: 4094, other: 3999 }));
        assert_eq!(choose(None, Some(4094)), Some(Vlans { vlan: 3999, other: 4094 }));
    }

    #[test]
    fn there_is_no_spare_vlan_if_tenants_own_all() {
        let tenants = [tenant("1-4094")];
        let choose = |vlan, other| Vlans::choose(&options(vlan, other), &BTreeSet::new(), &tenants);
        assert_eq!(choose(None, None), None);
        assert_eq!(choose(Some(1), None), None);
        assert!(choose(Some(1), Some(2)).is_some());
    }

    #[test]
    fn roles_are_unique_and_every_vlan_has_a_sender_and_a_sensor() {
        for free in 0..9 {
            let roles = topology(free);
            assert!(roles.len() <= free);
            assert_eq!(roles.iter().collect::<BTreeSet<_>>().len(), roles.len());
            for side in [false, true] {
                let there: Vec<_> =
                    roles.iter().filter(|role| role.is_on_other_vlan() == side).collect();
                let both = there.iter().any(|role| role.sends())
                    && there.iter().any(|role| role.trusted());
                assert!(there.is_empty() || both, "{roles:?}");
            }
        }
    }

    #[test]
    fn each_sender_also_sends_to_the_other_vlan() {
        let flows = flows(topology(5));
        assert_eq!(flows.len(), 2 * (4 + 3));
        for (from, to) in [(Role::Sender, Role::OtherSensor), (Role::OtherSender, Role::Sensor)] {
            assert!(flows.contains(&Flow { from, to: To::Role(to) }));
        }
    }
}
