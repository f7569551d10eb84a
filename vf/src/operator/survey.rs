//! The PFs of this machine, as somebody sees them who is to write a configuration.

use crate::error::Error;
use crate::host::Host;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::Sysfs;
use crate::nic::pf::Pf;
use crate::nic::promisc::{Facts, obstacle};

/// A PF.
#[derive(Debug, Clone)]
pub struct Nic {
    pub name: String,
    pub pci: String,
    pub driver: String,
    /// How many VFs it has and can have.
    pub vfs: usize,
    pub total: usize,
    pub up: bool,
    pub carrier: bool,
    /// What keeps its VFs from being promiscuous as things are, and what to do about it.
    pub obstacle: Option<String>,
}

/// # Errors
/// When the kernel cannot be asked.
pub fn survey(host: &Host) -> Result<Vec<Nic>, Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    let netlink = Netlink::open()?;
    let pfs = sysfs.sriov_netdevs().into_iter().filter_map(|(pci, _)| Pf::at(&sysfs, &pci));
    pfs.map(|pf| {
        let link = netlink.link(pf.ifindex)?.unwrap_or_default();
        let obstacle = match Facts::of(&sysfs, &pf.pci, link.flags.promisc) {
            Ok(facts) => obstacle(&pf.name, &facts).map(|it| format!("{}; {}", it.why, it.mend)),
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
