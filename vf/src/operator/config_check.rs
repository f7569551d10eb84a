//! The configuration against this machine.

use crate::error::Error;
use crate::host::Host;
use crate::kernel::sysfs::Sysfs;
use crate::nic::pf::{Pf, pci_named};
use crate::policy::config::parse::Place;
use crate::policy::config::validate::ONE_POOL;
use crate::policy::config::{Config, file_ownership};

/// Loads the configuration and finds every PF that it names on this machine.
///
/// # Errors
/// As [`Config::load`]; [`NicError::NoPf`], [`NicError::NoSriov`], [`NicError::WrongDriver`]; [`PolicyError::Config`] when two names lead to one PF: its VFs would
/// count twice, and whichever pool comes first would decide how they are cleaned.
pub fn check_config(host: &Host) -> Result<Config, Error> {
    let text = file_ownership::read(host)?;
    let config = Config::parse(&text, &host.config)?;
    let sysfs = Sysfs(host.sysfs.clone());
    let mut seen: Vec<(String, &str, &str)> = Vec::new();
    for (index, pool) in config.pools.iter().enumerate() {
        for (item, named) in pool.pfs.iter().enumerate() {
            let pf = Pf::find(&sysfs, named, pool)?;
            if let Some((_, other, of)) = seen.iter().find(|(pci, ..)| *pci == pf.pci) {
                let at = Place::item("pool", index, "pfs", item);
                let what = format!("`{named}` is the PF that pool `{of}` names `{other}`");
                return Err(at.fault(what, ONE_POOL).error(&text, &host.config));
            }
            seen.push((pf.pci, named, &pool.name));
        }
    }
    Ok(config)
}

/// Whether a netdev belongs to a VF of a PF that some pool names.
///
/// # Errors
/// As [`Config::load`]; when the kernel cannot be asked for alternative names.
pub fn is_managed(host: &Host, netdev: &str) -> Result<bool, Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    let config = Config::load(host)?;
    let Some((pf, _)) = sysfs.pci_of_netdev(netdev).and_then(|vf| sysfs.pf_of(&vf)) else {
        return Ok(false);
    };
    for named in config.pools.iter().flat_map(|pool| &pool.pfs) {
        if pci_named(&sysfs, named)?.as_ref() == Some(&pf) {
            return Ok(true);
        }
    }
    Ok(false)
}
