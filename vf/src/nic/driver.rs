//! What is known of PF drivers. Facts from the drivers' sources, Linux 6.12 (`drivers/net/ethernet`).

use std::time::Duration;

use crate::kernel::vlan::VlanProto;

/// The private flag of i40e and ice (`Documentation/networking/device_drivers/ethernet/intel/{i40e,ice}.rst`).
pub(crate) const TRUE_PROMISC: &str = "vf-true-promisc-support";

/// What a PF's driver does with its VFs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Driver {
    /// The driver of its VFs, as it is named in `/sys/bus/pci/drivers`.
    pub(crate) vf: Option<&'static str>,
    /// A change of a VF's VLAN or trust resets the VF, asynchronously to both drivers. After it iavf still reports the VF as
    /// promiscuous, but the PF has forgotten it.
    pub(crate) config_resets_vf: bool,
    pub(crate) promisc: PromiscBy,
    /// Whether a promiscuous VF is shown what comes by the wire, and nothing that the card's other VFs send.
    pub(crate) wire_only: bool,
    /// Whether a VF's tag may be 802.1ad. All know 802.1Q.
    pub(crate) dot1ad: Dot1ad,
    pub(crate) drops: Drops,
}

/// Where the frames are counted that came for a VF while it had no buffer for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drops {
    /// `IFLA_VF_STATS_RX_DROPPED` (`i40e_get_vf_stats`, `ice_get_vf_stats`): the VSI's discards.
    Pf,
    /// `rx_missed_errors` of the VF's interface (`mlx5e_get_stats`: out of buffer; `bnxt_get_ring_stats`: discards).
    Interface,
    /// The VFs of 82576, I350, 82599 and X540 have no such register; of others nobody has looked.
    Nobody,
}

/// What makes frames for nobody it knows reach a VF of this driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromiscBy {
    /// Trust, and nothing else.
    Trust,
    /// Trust, and [`TRUE_PROMISC`]. Without the flag a VF gets what nothing else matched: not what is for the PF or for
    /// another VF, and on ice only one VF gets it at all (it becomes the default VSI).
    TrueFlag,
    /// Trust, and a PF that is promiscuous itself (`ixgbe_update_vf_xcast_mode`). VFs of an 82599 never are.
    PfPromisc,
    /// A PF that is promiscuous. A VF's own flag opens it to multicast at most (`igb_set_vf_promisc`, and igbvf never asks).
    /// But while its PF is promiscuous the emulated 82576 hands unknown unicast to the VFs of its VLAN, trusted or not. A real
    /// one has not been tried.
    PfAlone,
    /// Nobody has looked.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dot1ad {
    Never,
    /// In a mode of the card that has it: ice in double VLAN mode.
    Perhaps,
}

pub(crate) fn driver(pf_driver: Option<&str>) -> Driver {
    use Dot1ad::{Never, Perhaps};
    let known = |vf, config_resets_vf, promisc, dot1ad, drops| Driver {
        vf: Some(vf),
        config_resets_vf,
        promisc,
        wire_only: false,
        dot1ad,
        drops,
    };
    match pf_driver {
        Some("igb") => known("igbvf", false, PromiscBy::PfAlone, Never, Drops::Nobody),
        Some("ixgbe") => known("ixgbevf", true, PromiscBy::PfPromisc, Never, Drops::Nobody),
        Some("i40e") => known("iavf", true, PromiscBy::TrueFlag, Never, Drops::Pf),
        Some("ice") => known("iavf", true, PromiscBy::TrueFlag, Perhaps, Drops::Pf),
        // In legacy eswitch mode: in switchdev mode it takes neither VLAN nor trust, and says so (EOPNOTSUPP).
        // Its rule for a promiscuous VF asks for the uplink as the source (`__esw_fdb_set_vport_rule`, `eswitch.c`).
        Some("mlx5_core") => Driver {
            wire_only: true,
            ..known("mlx5_core", false, PromiscBy::Trust, Never, Drops::Interface)
        },
        // With a firmware for it, it takes 802.1ad, and tells of 802.1Q (`bnxt_get_vf_config`).
        Some("bnxt_en") => known("bnxt_en", false, PromiscBy::Trust, Never, Drops::Interface),
        // Nobody knows: the careful way is right for all.
        _ => Driver {
            vf: None,
            config_resets_vf: true,
            promisc: PromiscBy::Unknown,
            wire_only: false,
            dot1ad: Perhaps,
            drops: Drops::Nobody,
        },
    }
}

/// How long a PF may be at a reset that a VF asked for when its driver left it, or that is an FLR: neither waits for it (`iavf_remove`).
/// i40e takes up to 330 ms by its own waits (`i40e_reset_vf`). Until then it may refuse a change with EINVAL (`i40e_validate_vf`); or it
/// notes a new trust, which reads back then, and has no other reset that would make it true, unless it is Linux 6.16 or a stable kernel
/// since June 2025. How far it is cannot be seen from outside.
const RESET_TIME: Duration = Duration::from_millis(350);

impl Driver {
    /// How long to wait after a VF's driver was taken from it, or after its FLR, before its PF is asked for anything.
    pub(crate) fn reset(&self) -> Duration {
        if self.config_resets_vf { RESET_TIME } else { Duration::ZERO }
    }

    pub(crate) fn takes(&self, proto: VlanProto) -> bool {
        proto == VlanProto::Dot1Q || self.dot1ad == Dot1ad::Perhaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_driver_is_taken_for_one_that_resets() {
        assert!(driver(None).config_resets_vf && driver(Some("new")).config_resets_vf);
        assert_eq!(driver(Some("i40e")).vf, Some("iavf"));
        assert!(!driver(Some("igb")).config_resets_vf);
        for name in ["i40e", "ice", "ixgbe", "new"] {
            assert!(driver(Some(name)).reset() > Duration::from_millis(330), "{name}");
        }
        assert_eq!(driver(Some("igb")).reset(), Duration::ZERO);
    }

    #[test]
    fn an_unknown_driver_promises_no_promiscuity() {
        assert_eq!(driver(Some("new")).promisc, PromiscBy::Unknown);
        assert_eq!(driver(Some("ice")).promisc, PromiscBy::TrueFlag);
    }

    #[test]
    fn only_a_driver_that_never_can_refuses_a_protocol() {
        for (name, expected) in [("igb", false), ("bnxt_en", false), ("ice", true), ("new", true)] {
            assert_eq!(driver(Some(name)).takes(VlanProto::Dot1Ad), expected, "{name}");
            assert!(driver(Some(name)).takes(VlanProto::Dot1Q));
        }
    }
}
