//! Creates the VFs of a PF, and waits for their netdevs.
//!
//! runvf creates VFs only on a PF without VFs: the kernel can change a count of VFs only by
//! destroying all of them first.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::error::{KernelError, errno_of};
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::retry::{is_busy, retry_while_busy};
use crate::kernel::sysfs::Sysfs;
use crate::nic::error::NicError;
use crate::nic::find_link::find_link;
use crate::nic::netdev::has_udev_named;
use crate::nic::pf::Pf;
use crate::policy::config::Pool;

/// The longest wait for a VF driver to create the netdev.
pub(crate) const NETDEV_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval between two checks of a state that reports no event.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The number of VFs to create on a PF for its pool.
pub(crate) fn wanted_vfs(pf: &Pf, pool: &Pool) -> usize {
    pool.vfs.map_or(pf.total, |vfs| vfs.min(pf.total))
}

/// Creates VFs of a PF and waits for their netdevs. Returns `false` if the PF has VFs already.
/// The caller holds the PF's lock.
///
/// # Errors
/// [`NicError::PfBusy`]; [`NicError::WrongVfCount`] when the driver created another number of VFs;
/// errors of the write to sysfs.
pub(crate) fn create_vfs(sysfs: &Sysfs, pf: &Pf, wanted: usize) -> Result<bool, Error> {
    // Each attempt checks for VFs, because EBUSY has two causes: a busy driver, and VFs that
    // another process has just created.
    let created = retry_while_busy(Error::file_errno, || match sysfs.virtfn(&pf.pci, 0) {
        // The kernel numbers VFs from 0 (`sriov_add_vfs`, `drivers/pci/iov.c`).
        Some(_) => Ok(false),
        None => sysfs.set_numvfs(&pf.pci, wanted).map(|()| true),
    });
    let created = created.map_err(|error| match error {
        Error::Kernel(KernelError::File { source, .. }) if is_busy(errno_of(&source)) => {
            Error::Nic(NicError::PfBusy { pf: pf.name.clone(), source })
        }
        other => other,
    });
    if !created? {
        return Ok(false);
    }
    // The write may succeed although the driver created fewer VFs or none (bnxt while its PF is
    // down, firmware in a reset).
    let vfs = sysfs.virtfns(&pf.pci);
    if vfs.len() != wanted {
        return Err(Error::Nic(NicError::WrongVfCount {
            pf: pf.name.clone(),
            wanted,
            made: vfs.len(),
        }));
    }
    // VF drivers may still be loading. Without this wait, runvf would treat an unbound VF as one
    // that should stay unbound.
    if vfs.iter().any(|(_, vf)| !sysfs.autoprobes(vf)) {
        return Ok(true);
    }
    let deadline = Instant::now() + NETDEV_TIMEOUT;
    let has_netdev = |vf: &str| {
        let is_named = |(_, ifindex): &(String, u32)| has_udev_named(*ifindex);
        sysfs.netdevs_or_empty(vf).first().is_some_and(is_named)
    };
    while vfs.iter().any(|(_, vf)| !has_netdev(vf)) && Instant::now() < deadline {
        thread::sleep(POLL_INTERVAL);
    }
    Ok(true)
}

/// Waits until the netdev of a bound VF is in sysfs and in netlink.
///
/// # Errors
/// [`NicError::NoNetdev`] after [`NETDEV_TIMEOUT`]; the errors of [`find_link`].
pub(crate) fn wait_for_netdev(sysfs: &Sysfs, netlink: &Netlink, vf: &str) -> Result<Link, Error> {
    let deadline = Instant::now() + NETDEV_TIMEOUT;
    loop {
        if let Some(link) = find_link(sysfs, netlink, vf)? {
            return Ok(link);
        }
        if Instant::now() >= deadline {
            return Err(Error::Nic(NicError::NoNetdev {
                vf: vf.to_owned(),
                seconds: NETDEV_TIMEOUT.as_secs(),
                driver_override: sysfs.driver_override(vf),
            }));
        }
        thread::sleep(POLL_INTERVAL);
    }
}
