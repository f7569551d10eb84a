//! What is known of PF drivers. Facts from the drivers' sources, Linux 6.12 (`drivers/net/ethernet`).

use crate::VlanProto;

/// The private flag of i40e and ice (`Documentation/networking/device_drivers/ethernet/intel/{i40e,ice}.rst`).
pub(crate) const TRUE_PROMISC: &str = "vf-true-promisc-support";

/// What a PF's driver does with its VFs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Driver {
    /// The driver of its VFs, as it is named in `/sys/bus/pci/drivers`.
    pub(crate) vf: Option<&'static str>,
    /// Setting VLAN or trust of a VF leaves its driver undisturbed. Elsewhere it means a reset of the VF, asynchronously to
    /// both drivers, after which iavf believes in a promiscuity that the PF has forgotten.
    pub(crate) quiet: bool,
    pub(crate) promisc: PromiscBy,
    /// Whether a VF's tag may be 802.1ad. All know 802.1Q.
    pub(crate) dot1ad: Dot1ad,
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
    /// In a mode of the card or with a firmware that has it: ice in double VLAN mode, bnxt with the capability.
    Perhaps,
}

pub(crate) fn driver(pf_driver: Option<&str>) -> Driver {
    use Dot1ad::{Never, Perhaps};
    let known = |vf, quiet, promisc, dot1ad| Driver { vf: Some(vf), quiet, promisc, dot1ad };
    match pf_driver {
        Some("igb") => known("igbvf", true, PromiscBy::PfAlone, Never),
        Some("ixgbe") => known("ixgbevf", false, PromiscBy::PfPromisc, Never),
        Some("i40e") => known("iavf", false, PromiscBy::TrueFlag, Never),
        Some("ice") => known("iavf", false, PromiscBy::TrueFlag, Perhaps),
        // In legacy eswitch mode: in switchdev mode it takes neither VLAN nor trust, and says so (EOPNOTSUPP).
        Some("mlx5_core") => known("mlx5_core", true, PromiscBy::Trust, Never),
        Some("bnxt_en") => known("bnxt_en", true, PromiscBy::Trust, Perhaps),
        // Nobody knows: the careful way is right for all.
        _ => Driver { vf: None, quiet: false, promisc: PromiscBy::Unknown, dot1ad: Perhaps },
    }
}

impl Driver {
    pub(crate) fn takes(&self, proto: VlanProto) -> bool {
        proto == VlanProto::Dot1Q || self.dot1ad == Dot1ad::Perhaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_driver_is_taken_for_one_that_resets() {
        assert!(!driver(None).quiet && !driver(Some("new")).quiet);
        assert_eq!(driver(Some("i40e")).vf, Some("iavf"));
        assert!(driver(Some("igb")).quiet);
    }

    #[test]
    fn an_unknown_driver_promises_no_promiscuity() {
        assert_eq!(driver(Some("new")).promisc, PromiscBy::Unknown);
        assert_eq!(driver(Some("ice")).promisc, PromiscBy::TrueFlag);
    }

    #[test]
    fn only_a_driver_that_never_can_refuses_a_protocol() {
        for (name, expected) in [("igb", false), ("i40e", false), ("ice", true), ("new", true)] {
            assert_eq!(driver(Some(name)).takes(VlanProto::Dot1Ad), expected, "{name}");
            assert!(driver(Some(name)).takes(VlanProto::Dot1Q));
        }
    }
}
