//! Checks that need both the configuration and the PFs of this host.

use crate::error::Error;
use crate::host::Host;
use crate::kernel::sysfs::Sysfs;
use crate::nic::managed::find_managed;
use crate::nic::pf::Pf;
use crate::policy::config::parse::KeyPath;
use crate::policy::config::validate::LIST_PF_ONCE;
use crate::policy::config::{Config, file_ownership};

/// Loads the configuration and finds every PF that it names on this host.
///
/// # Errors
/// As [`Config::load`]; [`NicError::NoPf`], [`NicError::NoSriov`], [`NicError::WrongDriver`];
/// [`PolicyError::Config`] when two names mean the same PF. Its VFs would count twice, and the
/// first pool would decide how they are scrubbed.
pub fn check_config(host: &Host) -> Result<Config, Error> {
    let text = file_ownership::read(host)?;
    let config = Config::parse(&text, &host.config)?;
    let sysfs = Sysfs(host.sysfs.clone());
    let mut seen: Vec<(String, &str, &str)> = Vec::new();
    for (index, pool) in config.pools.iter().enumerate() {
        for (item, name) in pool.pfs.iter().enumerate() {
            let pf = Pf::find(&sysfs, name, pool)?;
            if let Some((_, other_name, other_pool)) = seen.iter().find(|(pci, ..)| *pci == pf.pci)
            {
                let at = KeyPath::item("pool", index, "pfs", item);
                let problem =
                    format!("`{name}` is the same PF as `{other_name}` in pool `{other_pool}`");
                return Err(at.problem(problem, LIST_PF_ONCE).into_error(&text, &host.config));
            }
            seen.push((pf.pci, name, &pool.name));
        }
    }
    Ok(config)
}

/// Whether a netdev belongs to a VF of a PF that is in a pool.
///
/// # Errors
/// As [`Config::load`]; when the netlink request for alternative names fails.
pub fn is_managed(host: &Host, netdev: &str) -> Result<bool, Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    let config = Config::load(host)?;
    let Some(pci) = sysfs.pci_of_netdev(netdev) else { return Ok(false) };
    let managed = find_managed(&sysfs, &config, &pci)?;
    Ok(managed.is_some_and(|managed| managed.vf.is_some()))
}
