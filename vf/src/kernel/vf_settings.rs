//! A VF's settings as its PF holds them, and one change to them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kernel::mac::MacAddress;
use crate::kernel::vlan::VlanProto;

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
