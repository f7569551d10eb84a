//! Pure: what a VF has, what it shall have → the changes that lead from one to the other.
//!
//! Printing the changes is the dry run. On i40e and ice every change to VLAN, trust or MAC resets the VF, so what is
//! right already is never written again.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{MacAddress, VlanProto};

/// A VF as its PF describes it (`struct ifla_vf_info`, `include/linux/if_link.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// 0: none.
    pub vlan: u32,
    pub qos: u32,
    pub proto: VlanProto,
    /// A driver without the notion reads as `false`: such a VF cannot be trusted.
    pub trust: bool,
    pub spoof_check: bool,
    pub link_state: LinkState,
    /// The address that the PF knows. As a wish, all zeros mean any: a driver without an assigned address takes a random one
    /// whenever it binds.
    pub mac: MacAddress,
    /// Mbit/s; 0: no limit.
    pub min_rate: u32,
    pub max_rate: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            vlan: 0,
            qos: 0,
            proto: VlanProto::Dot1Q,
            trust: false,
            spoof_check: false,
            link_state: LinkState::Auto,
            mac: MacAddress::default(),
            min_rate: 0,
            max_rate: 0,
        }
    }
}

/// `IFLA_VF_LINK_STATE_*`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    Auto,
    Enable,
    Disable,
}

/// One thing to set on a VF, through its PF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Mac(MacAddress),
    Vlan { vlan: u32, qos: u32, proto: VlanProto },
    Trust(bool),
    SpoofCheck(bool),
    LinkState(LinkState),
    Rates { min: u32, max: u32 },
}

impl Change {
    /// Whether a sensor may start without it. Several drivers know neither the spoof check nor link states nor rates; none may
    /// lack VLAN and trust.
    pub(crate) fn is_optional(&self) -> bool {
        matches!(self, Self::SpoofCheck(_) | Self::LinkState(_) | Self::Rates { .. })
    }

    /// The same thing as it is in these settings.
    pub(crate) fn as_in(&self, settings: &Settings) -> Self {
        let Settings { vlan, qos, proto, trust, spoof_check, link_state, mac, .. } = *settings;
        let Settings { min_rate: min, max_rate: max, .. } = *settings;
        match self {
            Self::Mac(_) => Self::Mac(mac),
            Self::Vlan { .. } => Self::Vlan { vlan, qos, proto },
            Self::Trust(_) => Self::Trust(trust),
            Self::SpoofCheck(_) => Self::SpoofCheck(spoof_check),
            Self::LinkState(_) => Self::LinkState(link_state),
            Self::Rates { .. } => Self::Rates { min, max },
        }
    }
}

/// The changes, in the order in which they are to be made.
pub(crate) fn changes(have: &Settings, want: &Settings) -> Vec<Change> {
    let mut changes = Vec::new();
    if want.mac != MacAddress::default() && want.mac != have.mac {
        changes.push(Change::Mac(want.mac));
    }
    if (want.vlan, want.qos, want.proto) != (have.vlan, have.qos, have.proto) {
        changes.push(Change::Vlan { vlan: want.vlan, qos: want.qos, proto: want.proto });
    }
    if want.trust != have.trust {
        changes.push(Change::Trust(want.trust));
    }
    if want.spoof_check != have.spoof_check {
        changes.push(Change::SpoofCheck(want.spoof_check));
    }
    if want.link_state != have.link_state {
        changes.push(Change::LinkState(want.link_state));
    }
    if (want.min_rate, want.max_rate) != (have.min_rate, have.max_rate) {
        changes.push(Change::Rates { min: want.min_rate, max: want.max_rate });
    }
    changes
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on_off = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Self::Mac(mac) => write!(formatter, "MAC {mac}"),
            Self::Vlan { vlan, qos: 0, proto: VlanProto::Dot1Q } => {
                write!(formatter, "VLAN {vlan}")
            }
            Self::Vlan { vlan, qos, proto } => {
                write!(formatter, "VLAN {vlan} qos {qos} proto {proto}")
            }
            Self::Trust(on) => write!(formatter, "trust {}", on_off(on)),
            Self::SpoofCheck(on) => write!(formatter, "spoof check {}", on_off(on)),
            Self::LinkState(LinkState::Auto) => write!(formatter, "link state auto"),
            Self::LinkState(LinkState::Enable) => write!(formatter, "link state enable"),
            Self::LinkState(LinkState::Disable) => write!(formatter, "link state disable"),
            Self::Rates { min, max } => write!(formatter, "rates {min} to {max} Mbit/s"),
        }
    }
}

/// What a VF sees and whom it is believed, if that is not what it shall: only its PF can have been told so. A container may change its
/// own MAC.
pub(crate) fn tampered(have: &Settings, want: &Settings) -> Option<String> {
    let graver = |change: &Change| matches!(change, Change::Vlan { .. } | Change::Trust(_));
    let changes = changes(have, want).into_iter().filter(graver);
    let told: Vec<_> =
        changes.map(|want| format!("{} instead of {want}", want.as_in(have))).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// The changes as one phrase.
pub(crate) fn phrase(changes: &[Change]) -> String {
    changes.iter().map(Change::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_right_is_left_alone() {
        let settings = Settings { vlan: 100, trust: true, ..Settings::default() };
        assert_eq!(changes(&settings, &settings), []);
    }

    #[test]
    fn a_claim_sets_vlan_then_trust() {
        let have = Settings { spoof_check: true, ..Settings::default() };
        let want = Settings { vlan: 100, trust: true, ..have };
        assert_eq!(phrase(&changes(&have, &want)), "VLAN 100, trust on");
        assert_eq!(phrase(&changes(&want, &have)), "VLAN 0, trust off");
    }

    #[test]
    fn an_address_is_changed_only_where_one_is_asked_for() {
        let have = Settings { mac: MacAddress([2, 0, 0, 0, 0, 1]), ..Settings::default() };
        assert_eq!(changes(&have, &Settings::default()), []);
        let want = Settings { mac: MacAddress([2, 0, 0, 0, 0, 2]), ..Settings::default() };
        assert_eq!(phrase(&changes(&have, &want)), "MAC 02:00:00:00:00:02");
        assert_eq!(changes(&have, &want)[0].as_in(&have), Change::Mac(have.mac));
    }

    #[test]
    fn who_changes_vlan_or_trust_is_told_of() {
        let want = Settings { vlan: 100, trust: true, ..Settings::default() };
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        assert_eq!(tampered(&Settings { mac, spoof_check: true, ..want }, &want), None);
        let have = Settings { vlan: 300, trust: false, ..want };
        let told = "VLAN 300 instead of VLAN 100, trust off instead of trust on";
        assert_eq!(tampered(&have, &want).as_deref(), Some(told));
    }

    #[test]
    fn another_priority_or_protocol_is_another_vlan() {
        let have = Settings { vlan: 100, ..Settings::default() };
        let want = Settings { qos: 3, ..have };
        assert_eq!(phrase(&changes(&have, &want)), "VLAN 100 qos 3 proto 802.1q");
        let want = Settings { proto: VlanProto::Dot1Ad, ..have };
        assert_eq!(phrase(&changes(&have, &want)), "VLAN 100 qos 0 proto 802.1ad");
    }

    #[test]
    fn vlan_trust_and_address_may_not_be_refused() {
        let have = Settings { link_state: LinkState::Disable, ..Settings::default() };
        let want = Settings {
            vlan: 5,
            trust: true,
            spoof_check: true,
            link_state: LinkState::Auto,
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            max_rate: 10,
            ..Settings::default()
        };
        let optional: Vec<_> = changes(&have, &want).iter().map(Change::is_optional).collect();
        assert_eq!(optional, [false, false, false, true, true, true]);
    }
}
