//! The numbers of frames that a VF has received and lost, where a driver counts them.
//!
//! The VF's netdev counts the frames that its driver got from the card, in any network namespace. A
//! rebind creates a new netdev, so this counter starts at zero for each container. Some PF drivers
//! count as well; their counters continue while the VF has no netdev or is bound to another driver.
//! The lost frames are not the "dropped" frames of `ip -s link`: `rx_dropped` of a netdev includes
//! frames that no kernel protocol accepted, although the sensor saw them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::kernel::netlink::{Link, Netlink, VfCounters};
use crate::kernel::netns::Netns;
use crate::kernel::netns_life::{Effort, find_netns};
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::{Claim, Owner};
use crate::nic::driver::{Drops, driver};
use crate::nic::find_link::find_link;
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

pub(crate) struct Counters<'a> {
    sysfs: &'a Sysfs,
    netlink: &'a Netlink,
    /// The PF driver's counters, keyed by VF index.
    by_pf: BTreeMap<u32, VfCounters>,
    drops: Drops,
}

impl<'a> Counters<'a> {
    /// Reads the counters of the PF driver. A failure counts as "no counters", because the status
    /// must still show everything else.
    pub(crate) fn of(sysfs: &'a Sysfs, netlink: &'a Netlink, pf: &Pf) -> Self {
        let by_pf = netlink.vf_counters(&pf.name, pf.ifindex).unwrap_or_default();
        let drops = driver(sysfs.driver(&pf.pci).as_deref()).drops;
        Self { sysfs, netlink, by_pf, drops }
    }

    /// Returns the frames received and the frames lost. `netdev`: the VF's.
    pub(crate) fn of_vf(
        &self,
        index: u32,
        netdev: Option<&Link>,
    ) -> (Option<Counted>, Option<Counted>) {
        choose_sources(netdev, self.by_pf.get(&index), self.drops)
    }

    /// The VF's netdev, in the host netns or in the netns of the claim.
    pub(crate) fn netdev(&self, vf: &str, claim: Option<&Claim>) -> Option<Link> {
        if let Some(link) = find_link(self.sysfs, self.netlink, vf).ok()? {
            return Some(link);
        }
        netns_of(claim?)?.inside(|| Netlink::open()?.link_by_pci(vf)).ok()?
    }
}

/// The network namespace of a claim. `None`: its owner has ended.
pub(crate) fn netns_of(claim: &Claim) -> Option<Netns> {
    let Owner::Init(init) = claim.owner() else {
        return find_netns(claim.netns, Effort::Quick).ok()?;
    };
    let netns = Netns::open(Path::new(&format!("/proc/{}/ns/net", init.pid))).ok()?;
    // The namespace is opened before the check: if the init process is alive now, the pid was not
    // reused before, and this is its namespace.
    (netns.id == claim.netns.id && init.is_alive()).then_some(netns)
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
