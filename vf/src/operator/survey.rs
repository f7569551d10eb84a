//! The PFs of this host, with the properties that matter for a configuration (`runvfctl init`).

use crate::error::Error;
use crate::host::Host;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::Sysfs;
use crate::nic::find_link::wait_for_link;
use crate::nic::pf::Pf;
use crate::nic::promisc::{Facts, find_obstacle};

/// A PF of this host.
#[derive(Debug, Clone)]
pub struct Nic {
    pub name: String,
    pub pci: String,
    pub driver: String,
    /// The number of VFs that exist now.
    pub vfs: usize,
    /// The number of VFs that the PF supports.
    pub total: usize,
    pub up: bool,
    pub carrier: bool,
    /// Why its VFs cannot be promiscuous now, and the remedy. `None`: they can.
    pub obstacle: Option<String>,
}

/// Lists the PFs of this host.
///
/// # Errors
/// When a netlink request fails.
pub fn survey(host: &Host) -> Result<Vec<Nic>, Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    let netlink = Netlink::open()?;
    let pfs = sysfs.sriov_netdevs().into_iter().filter_map(|(pci, _)| Pf::at(&sysfs, &pci).ok());
    pfs.map(|pf| {
        let link = wait_for_link(&netlink, pf.ifindex)?.unwrap_or_default();
        let obstacle = match Facts::read(&sysfs, &pf.pci, link.flags.promisc) {
            Ok(facts) => {
                find_obstacle(&pf.name, &facts).map(|it| format!("{}; {}", it.why, it.remedy))
            }
            Err(error) => Some(error.line()),
        };
        Ok(Nic {
            driver: sysfs.driver(&pf.pci).unwrap_or_else(|| "no driver".to_owned()),
            vfs: sysfs.virtfns(&pf.pci).len(),
            total: pf.total,
            up: link.flags.up,
            carrier: link.carrier,
            obstacle,
            name: pf.name,
            pci: pf.pci,
        })
    })
    .collect()
}
