//! Facts about PF drivers, from their sources in Linux 6.12 (`drivers/net/ethernet`).

use std::time::Duration;

use crate::kernel::vlan::VlanProto;
use crate::policy::config::{Pool, Rest};

/// The private flag of i40e and ice
/// (`Documentation/networking/device_drivers/ethernet/intel/{i40e,ice}.rst`).
pub(crate) const TRUE_PROMISC: &str = "vf-true-promisc-support";

/// How a PF driver treats its VFs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Driver {
    /// The VF driver, by its name in `/sys/bus/pci/drivers`. `None`: unknown.
    pub(crate) vf: Option<&'static str>,
    /// Whether a change of VLAN or trust resets the VF, asynchronously to both drivers. After such
    /// a reset iavf still reports the VF as promiscuous, but the PF no longer treats it so.
    pub(crate) config_resets_vf: bool,
    /// Whether a reset of the VF ends its promiscuity while the VF driver still reports it. Then
    /// the PF must be told again: see [`crate::nic::rearm`]. ixgbevf and igbvf tell their PF after
    /// each reset; mlx5_core and bnxt_en have no such resets.
    pub(crate) forgets_promisc: bool,
    /// How free VFs rest unless the pool says otherwise. Unbound with iavf: on i40e, an attach then
    /// takes less than half the time (an emulated X710, Linux 6.12). ice resets its VFs in the same
    /// way, and was not measured.
    rest: Rest,
    pub(crate) promisc: PromiscNeeds,
    /// Whether a promiscuous VF receives only frames from the wire, and none that other VFs of the
    /// card send.
    pub(crate) wire_only: bool,
    /// Whether a VF's VLAN tag may be 802.1ad. All drivers support 802.1Q.
    pub(crate) dot1ad: Dot1ad,
    pub(crate) drops: Drops,
}

/// Which counter holds the frames that a VF dropped because it had no free buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drops {
    /// `IFLA_VF_STATS_RX_DROPPED` (`i40e_get_vf_stats`, `ice_get_vf_stats`): the VSI's discards.
    Pf,
    /// `rx_missed_errors` of the VF's netdev (`mlx5e_get_stats`: out of buffer;
    /// `bnxt_get_ring_stats`: discards).
    Netdev,
    /// No known counter. The VFs of 82576, I350, 82599 and X540 have no such register; other
    /// drivers were not examined.
    NotCounted,
}

/// What a VF of this driver needs to receive frames for unknown MAC addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromiscNeeds {
    /// Trust alone.
    Trust,
    /// Trust, and [`TRUE_PROMISC`]. Without the flag a VF receives only frames that match no other
    /// filter: no frames for the PF or for another VF. On ice only one VF receives them at all (it
    /// becomes the default VSI).
    TrueFlag,
    /// Trust, and a promiscuous PF (`ixgbe_update_vf_xcast_mode`). The VFs of an 82599 cannot be
    /// promiscuous.
    PfPromisc,
    /// A promiscuous PF. The VF's own flag enables multicast at most (`igb_set_vf_promisc`), and
    /// igbvf never requests it. But while the PF is promiscuous, the emulated 82576 delivers
    /// unknown unicast to all VFs of the frame's VLAN, trusted or not. A real 82576 was not tested.
    PfPromiscOnly,
    /// The driver was not examined.
    Unknown,
}

/// Whether a driver supports 802.1ad tags on VFs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dot1ad {
    Never,
    /// Depends on the mode of the card: ice supports it in double VLAN mode.
    Possible,
}

/// Returns the facts about a PF driver. `None` and unknown names get the values that are safe for
/// every driver.
pub(crate) fn driver(pf_driver: Option<&str>) -> Driver {
    use Dot1ad::{Never, Possible};
    let entry = |vf, config_resets_vf, promisc, dot1ad, drops| Driver {
        vf: Some(vf),
        config_resets_vf,
        forgets_promisc: vf == "iavf",
        rest: if vf == "iavf" { Rest::Unbound } else { Rest::Bound },
        promisc,
        wire_only: false,
        dot1ad,
        drops,
    };
    match pf_driver {
        Some("igb") => entry("igbvf", false, PromiscNeeds::PfPromiscOnly, Never, Drops::NotCounted),
        Some("ixgbe") => entry("ixgbevf", true, PromiscNeeds::PfPromisc, Never, Drops::NotCounted),
        Some("i40e") => entry("iavf", true, PromiscNeeds::TrueFlag, Never, Drops::Pf),
        Some("ice") => entry("iavf", true, PromiscNeeds::TrueFlag, Possible, Drops::Pf),
        // In legacy eswitch mode. In switchdev mode the driver refuses VLAN and trust with
        // EOPNOTSUPP. Its rule for a promiscuous VF matches only the uplink as source
        // (`__esw_fdb_set_vport_rule`, `eswitch.c`).
        Some("mlx5_core") => Driver {
            wire_only: true,
            ..entry("mlx5_core", false, PromiscNeeds::Trust, Never, Drops::Netdev)
        },
        // With matching firmware the driver accepts 802.1ad, but it reports 802.1Q
        // (`bnxt_get_vf_config`).
        Some("bnxt_en") => entry("bnxt_en", false, PromiscNeeds::Trust, Never, Drops::Netdev),
        // An unknown driver: these values are safe for every driver.
        _ => Driver {
            vf: None,
            config_resets_vf: true,
            forgets_promisc: true,
            rest: Rest::Bound,
            promisc: PromiscNeeds::Unknown,
            wire_only: false,
            dot1ad: Possible,
            drops: Drops::NotCounted,
        },
    }
}

/// The longest time that a PF needs for a VF reset after an unbind of the VF driver or an FLR.
/// Neither of the two waits for the reset (`iavf_remove`), and the PF does not report its end. i40e
/// needs up to 330 ms, the sum of its own waits (`i40e_reset_vf`).
///
/// During the reset i40e may refuse a change with EINVAL (`i40e_validate_vf`). Or it stores a new
/// trust, which then reads back, but does not reset the VF again to apply it. Linux 6.16 and stable
/// kernels since June 2025 fix the latter.
const RESET_TIME: Duration = Duration::from_millis(350);

impl Driver {
    /// How long to wait after an unbind of the VF driver or an FLR before the next request to the
    /// PF.
    pub(crate) fn reset_time(&self) -> Duration {
        if self.config_resets_vf { RESET_TIME } else { Duration::ZERO }
    }

    /// Whether the PF's report has the only MAC of a VF without a driver, and the PF removes it if
    /// all zeros are assigned. i40e and ice reset a VF after an unbind, and make its filters again
    /// from the reported MAC (`i40e_alloc_vsi_res`, `ice_vf_rebuild_host_mac_cfg`). All zeros also
    /// remove a MAC that the VF has chosen (`i40e_ndo_set_vf_mac`, `ice_set_vf_mac`).
    pub(crate) fn has_only_reported_mac(&self) -> bool {
        self.vf == Some("iavf")
    }

    /// How free VFs of a pool rest on a PF with this driver.
    pub(crate) fn rest(&self, pool: &Pool) -> Rest {
        pool.rest.unwrap_or(self.rest)
    }

    /// Whether an attached VF can be promiscuous again after a change of its VLAN or trust: the
    /// change does not reset it, or runvf can re-arm it.
    pub(crate) fn is_promiscuous_after_change(&self) -> bool {
        !self.config_resets_vf || self.vf.is_some() && self.forgets_promisc
    }

    pub(crate) fn supports_proto(&self, proto: VlanProto) -> bool {
        proto == VlanProto::Dot1Q || self.dot1ad == Dot1ad::Possible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_driver_counts_as_one_that_resets_vfs() {
        assert!(driver(None).config_resets_vf && driver(Some("new")).config_resets_vf);
        assert_eq!(driver(Some("i40e")).vf, Some("iavf"));
        assert!(!driver(Some("igb")).config_resets_vf);
        for name in ["i40e", "ice", "ixgbe", "new"] {
            assert!(driver(Some(name)).reset_time() > Duration::from_millis(330), "{name}");
        }
        assert_eq!(driver(Some("igb")).reset_time(), Duration::ZERO);
    }

    #[test]
    fn a_vf_of_iavf_or_of_an_unknown_driver_is_re_armed_after_a_reset() {
        let forgets = |name| driver(Some(name)).forgets_promisc;
        assert!(["i40e", "ice", "new"].into_iter().all(forgets));
        assert!(!["igb", "ixgbe", "mlx5_core", "bnxt_en"].into_iter().any(forgets));
        let recovers = |name| driver(Some(name)).is_promiscuous_after_change();
        assert!(["i40e", "ice", "igb", "mlx5_core"].into_iter().all(recovers));
        assert!(!["ixgbe", "new"].into_iter().any(recovers));
        let has_only = |name| driver(Some(name)).has_only_reported_mac();
        assert!(has_only("i40e") && has_only("ice") && !has_only("igb") && !has_only("new"));
    }

    #[test]
    fn the_promiscuity_of_an_unknown_driver_is_unknown() {
        assert_eq!(driver(Some("new")).promisc, PromiscNeeds::Unknown);
        assert_eq!(driver(Some("ice")).promisc, PromiscNeeds::TrueFlag);
    }

    #[test]
    fn a_protocol_is_unsupported_only_if_the_driver_never_supports_it() {
        for (name, expected) in [("igb", false), ("bnxt_en", false), ("ice", true), ("new", true)] {
            assert_eq!(driver(Some(name)).supports_proto(VlanProto::Dot1Ad), expected, "{name}");
            assert!(driver(Some(name)).supports_proto(VlanProto::Dot1Q));
        }
    }
}
