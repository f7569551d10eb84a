//! The numbers of frames that a VF has received and lost, where a driver counts them.
//!
//! The VF's netdev counts the frames that its driver got from the card, in any network namespace. A
//! rebind creates a new netdev, so this counter starts at zero for each container. Some PF drivers
//! count as well; their counters continue while the VF has no netdev or is bound to another driver.
//! The lost frames are not the "dropped" frames of `ip -s link`: `rx_dropped` of a netdev includes
//! frames that no kernel protocol accepted, although the sensor saw them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::kernel::ethtool::first_statistic;
use crate::kernel::netlink::{Link, Netlink, VfCounters};
use crate::kernel::sysfs::Sysfs;
use crate::nic::driver::{Drops, driver};
use crate::nic::pf::Pf;

/// A number of frames, and its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counted {
    pub count: u64,
    pub by: Counter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Counter {
    /// The VF's netdev: counts since the VF driver was bound.
    Interface,
    /// The PF driver. The start of the count depends on the driver; for most drivers it is the last
    /// reset of the VF.
    Pf,
}

pub(crate) struct Counters {
    /// The PF driver's counters, keyed by VF index.
    by_pf: BTreeMap<u32, VfCounters>,
    drops: Drops,
}

impl Counters {
    /// Reads the counters of the PF driver. A failure counts as "no counters", because the status
    /// must still show everything else.
    pub(crate) fn of(sysfs: &Sysfs, netlink: &Netlink, pf: &Pf) -> Self {
        let by_pf = netlink.vf_counters(&pf.name, pf.ifindex).unwrap_or_default();
        let drops = driver(sysfs.driver(&pf.pci).as_deref()).drops;
        Self { by_pf, drops }
    }

    /// Returns the frames received and the frames lost. `netdev`: the VF's.
    pub(crate) fn of_vf(
        &self,
        index: u32,
        netdev: Option<&Link>,
    ) -> (Option<Counted>, Option<Counted>) {
        choose_sources(netdev, self.by_pf.get(&index), self.drops)
    }
}

/// The frames that a PF's port has discarded, because the card had no room for them. Every VF may
/// have missed frames of its VLAN then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Discards {
    pub count: u64,
    /// The driver's name of the counter.
    pub by: &'static str,
}

/// The drivers' names for it (`ethtool -S`): i40e (a newer and an older name), ice, mlx5_core,
/// bnxt_en.
const PORT_DISCARDS: [&str; 5] = [
    "port.rx_discards",
    "port.rx_dropped",
    "rx_dropped.nic",
    "rx_discards_phy",
    "rx_total_discard_pkts",
];

impl Discards {
    /// `pf`: the link of the PF. If the driver has none of the counters, as igb and ixgbe, the link
    /// counts the same (`rx_missed_errors`: `igb_update_stats`, `ixgbe_update_stats`).
    pub(crate) fn of_port(pf: &Link) -> Self {
        match first_statistic(&pf.name, &PORT_DISCARDS) {
            Ok(Some((by, count))) => Self { count, by },
            _ => Self { count: pf.missed, by: "rx_missed_errors" },
        }
    }
}

/// Chooses the source of each count: for frames the netdev before the PF, for drops the source that
/// the driver supports.
fn choose_sources(
    netdev: Option<&Link>,
    pf: Option<&VfCounters>,
    drops: Drops,
) -> (Option<Counted>, Option<Counted>) {
    let by_netdev = |count| Counted { count, by: Counter::Interface };
    let by_pf = |count| Counted { count, by: Counter::Pf };
    let frames = netdev
        .map(|link| by_netdev(link.received))
        .or_else(|| pf.map(|counts| by_pf(counts.received)));
    let drops = match drops {
        Drops::NotCounted => None,
        Drops::Netdev => netdev.map(|link| by_netdev(link.missed)),
        Drops::Pf => pf.map(|counts| by_pf(counts.dropped)),
    };
    (frames, drops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_from_the_netdev_first_and_drops_from_the_source_of_the_driver() {
        let link = Link { received: 7, missed: 2, ..Link::default() };
        let counts = VfCounters { received: 9, dropped: 3 };
        let netdev = |count| Some(Counted { count, by: Counter::Interface });
        let pf = |count| Some(Counted { count, by: Counter::Pf });
        for (link, counts, drops, expected) in [
            (Some(&link), Some(&counts), Drops::Pf, (netdev(7), pf(3))),
            (Some(&link), None, Drops::Pf, (netdev(7), None)),
            (Some(&link), None, Drops::Netdev, (netdev(7), netdev(2))),
            (Some(&link), Some(&counts), Drops::NotCounted, (netdev(7), None)),
            (None, Some(&counts), Drops::Netdev, (pf(9), None)),
            (None, None, Drops::Pf, (None, None)),
        ] {
            assert_eq!(choose_sources(link, counts, drops), expected);
        }
    }
}
