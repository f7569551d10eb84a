//! The PFs of the configuration and their VFs: the netdevs that runvf manages.

use crate::error::Error;
use crate::kernel::sysfs::Sysfs;
use crate::nic::pf::pci_named;
use crate::policy::config::Config;

/// A PCI function that runvf manages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Managed {
    /// The PF's name in the configuration.
    pub(crate) pf: String,
    /// PCI address of the VF. `None`: the function is the PF.
    pub(crate) vf: Option<String>,
}

/// Finds the PF of the configuration that a PCI function is, or is a VF of. `None`: runvf does not
/// manage the function.
///
/// # Errors
/// When the kernel does not list alternative names.
pub(crate) fn find_managed(
    sysfs: &Sysfs,
    config: &Config,
    pci: &str,
) -> Result<Option<Managed>, Error> {
    let (pf, vf) = match sysfs.pf_of(pci) {
        Some((pf, _)) => (pf, Some(pci.to_owned())),
        None => (pci.to_owned(), None),
    };
    for name in config.pools.iter().flat_map(|pool| &pool.pfs) {
        if pci_named(sysfs, name)?.as_ref() == Some(&pf) {
            return Ok(Some(Managed { pf: name.clone(), vf }));
        }
    }
    Ok(None)
}
