//! What there is and who has it, for people and machines.

use serde::Serialize;

use crate::claim::{Claim, Claims};
use crate::inventory::Pf;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::Sysfs;
use crate::plan::Settings;
use crate::{Error, Host};

/// A PF and its VFs.
#[derive(Debug, Serialize)]
pub struct PfStatus {
    pub pf: String,
    pub name: String,
    pub up: bool,
    /// How many VFs it can have.
    pub total: usize,
    pub vfs: Vec<VfStatus>,
}

#[derive(Debug, Serialize)]
pub struct VfStatus {
    pub vf: String,
    pub index: u32,
    pub driver: Option<String>,
    /// Its name in the host; `None` while it is elsewhere.
    pub netdev: Option<String>,
    pub settings: Settings,
    pub claim: Option<Claim>,
    /// What stands in the claim's place but is none.
    pub bad_claim: Option<String>,
}

/// Every PF of this machine that has SR-IOV.
///
/// # Errors
/// When the kernel or the claims cannot be asked.
pub fn status(host: &Host) -> Result<Vec<PfStatus>, Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    let netlink = Netlink::open()?;
    let claims = Claims::open(&host.run)?;
    let pfs = sysfs.sriov_netdevs();
    pfs.iter()
        .filter_map(|(pci, _)| Pf::at(&sysfs, pci))
        .map(|pf| one(&sysfs, &netlink, &claims, pf))
        .collect()
}

fn one(sysfs: &Sysfs, netlink: &Netlink, claims: &Claims, pf: Pf) -> Result<PfStatus, Error> {
    let settings = netlink.vf_settings(&pf.name, pf.ifindex)?;
    let vfs = sysfs
        .virtfns(&pf.pci)
        .into_iter()
        .map(|(index, vf)| {
            let (claim, bad_claim) = match claims.get(&vf) {
                Ok(claim) => (claim, None),
                Err(error) => (None, Some(error.line())),
            };
            VfStatus {
                driver: sysfs.driver(&vf),
                netdev: sysfs.netdevs(&vf).into_iter().next().map(|(name, _)| name),
                settings: settings.get(&index).copied().unwrap_or_default(),
                index,
                vf,
                claim,
                bad_claim,
            }
        })
        .collect();
    let up = netlink.link(pf.ifindex)?.is_some_and(|link| link.flags.up);
    Ok(PfStatus { pf: pf.pci, name: pf.name, up, total: pf.total, vfs })
}
