//! How many frames a VF has received, and how many it has lost, as far as anybody counts.
//!
//! The VF's interface counts what its driver got from the card, wherever it is; a rebind gives the VF another, so that this
//! begins at zero for each container. The PF counts as well, with some drivers, and goes on counting while the VF has no
//! interface or is bound to another driver. Lost frames are not what `ip -s link` calls dropped: `rx_dropped` of an interface
//! also has what the kernel's own protocols did not want, although the sensor saw it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::kernel::netlink::{Link, Netlink, VfCounts};
use crate::kernel::netns::Netns;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::Claim;
use crate::nic::driver::{Drops, driver};
use crate::nic::pf::Pf;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counted {
    pub count: u64,
    pub by: Counter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Counter {
    /// The VF's own interface, since its driver has bound it.
    Interface,
    /// The PF's driver, since whenever that is for it: for most, the VF's last reset.
    Pf,
}

pub(crate) struct Counters<'a> {
    sysfs: &'a Sysfs,
    netlink: &'a Netlink,
    /// By the VFs' indices.
    by_pf: BTreeMap<u32, VfCounts>,
    drops: Drops,
}

impl<'a> Counters<'a> {
    /// What cannot be asked is not counted: that is no reason to show nothing else.
    pub(crate) fn of(sysfs: &'a Sysfs, netlink: &'a Netlink, pf: &Pf) -> Self {
        let by_pf = netlink.vf_counts(&pf.name, pf.ifindex).unwrap_or_default();
        let drops = driver(sysfs.driver(&pf.pci).as_deref()).drops;
        Self { sysfs, netlink, by_pf, drops }
    }

    /// Frames received and frames lost.
    pub(crate) fn of_vf(
        &self,
        index: u32,
        vf: &str,
        claim: Option<&Claim>,
    ) -> (Option<Counted>, Option<Counted>) {
        let interface = self.interface(vf, claim);
        told(interface.as_ref(), self.by_pf.get(&index), self.drops)
    }

    fn interface(&self, vf: &str, claim: Option<&Claim>) -> Option<Link> {
        if let Some((_, ifindex)) = self.sysfs.netdevs_or_empty(vf).into_iter().next() {
            return self.netlink.link(ifindex).ok()?;
        }
        let claim = claim?;
        let netns = Netns::open(Path::new(&format!("/proc/{}/ns/net", claim.init.pid))).ok()?;
        // Opened first: what is found alive afterwards is whose it is.
        if netns.id != claim.netns.id || !claim.init.is_alive() {
            return None;
        }
        netns.inside(|| Netlink::open()?.link_of(vf)).ok()?
    }
}

fn told(
    interface: Option<&Link>,
    pf: Option<&VfCounts>,
    drops: Drops,
) -> (Option<Counted>, Option<Counted>) {
    let by_interface = |count| Counted { count, by: Counter::Interface };
    let by_pf = |count| Counted { count, by: Counter::Pf };
    let frames = interface
        .map(|link| by_interface(link.received))
        .or_else(|| pf.map(|counts| by_pf(counts.received)));
    let drops = match drops {
        Drops::Nobody => None,
        Drops::Interface => interface.map(|link| by_interface(link.missed)),
        Drops::Pf => pf.map(|counts| by_pf(counts.dropped)),
    };
    (frames, drops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_counts_frames_and_whoever_knows_of_them_drops() {
        let link = Link { received: 7, missed: 2, ..Link::default() };
        let counts = VfCounts { received: 9, dropped: 3 };
        let interface = |count| Some(Counted { count, by: Counter::Interface });
        let pf = |count| Some(Counted { count, by: Counter::Pf });
        for (link, counts, drops, expected) in [
            (Some(&link), Some(&counts), Drops::Pf, (interface(7), pf(3))),
            (Some(&link), None, Drops::Pf, (interface(7), None)),
            (Some(&link), None, Drops::Interface, (interface(7), interface(2))),
            (Some(&link), Some(&counts), Drops::Nobody, (interface(7), None)),
            (None, Some(&counts), Drops::Interface, (pf(9), None)),
            (None, None, Drops::Pf, (None, None)),
        ] {
            assert_eq!(told(link, counts, drops), expected);
        }
    }
}
