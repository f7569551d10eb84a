//! VFs are made: only on a PF that has none. A count that is not zero cannot be changed without destroying every VF of the PF.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::error::errno_of;
use crate::kernel::retry::{is_busy, retry_while_busy};
use crate::kernel::sysfs::Sysfs;
use crate::nic::error::NicError;
use crate::nic::netdev::has_udev_named;
use crate::nic::pf::Pf;
use crate::policy::config::Pool;

/// How long a VF's driver may take to bring up the netdev.
pub(crate) const NETDEV_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at something that has no event to wait for.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How many VFs a pool wants on a PF that has none.
pub(crate) fn wanted(pf: &Pf, pool: &Pool) -> usize {
    pool.vfs.map_or(pf.total, |vfs| vfs.min(pf.total))
}

/// To be called under the PF's lock. `false`: there are some already.
///
/// # Errors
/// [`NicError::PfBusy`]; [`NicError::WrongVfCount`] when the driver made another number; what the write to sysfs can fail with.
pub(crate) fn create_vfs(sysfs: &Sysfs, pf: &Pf, pool: &Pool) -> Result<bool, Error> {
    let wanted = wanted(pf, pool);
    // Looked at each time: EBUSY is the answer of a driver that is busy, and to whoever is second as well.
    let set = retry_while_busy(Error::file_errno, || match sysfs.virtfn(&pf.pci, 0) {
        // The kernel numbers them from 0 (`sriov_add_vfs`, `drivers/pci/iov.c`).
        Some(_) => Ok(false),
        None => sysfs.set_numvfs(&pf.pci, wanted).map(|()| true),
    });
    let set = set.map_err(|error| match error {
        Error::Kernel(KernelError::File { source, .. }) if is_busy(errno_of(&source)) => {
            Error::Nic(NicError::PfBusy { pf: pf.name.clone(), source })
        }
        other => other,
    });
    if !set? {
        return Ok(false);
    }
    // The write may succeed and have made fewer or none (bnxt with its PF down, firmware in a reset).
    let made = sysfs.virtfns(&pf.pci);
    if made.len() != wanted {
        return Err(Error::Nic(NicError::WrongVfCount {
            pf: pf.name.clone(),
            wanted,
            made: made.len(),
        }));
    }
    // Drivers may still be loading. A VF without its driver would be taken for one that is kept without.
    if made.iter().any(|(_, vf)| !sysfs.autoprobes(vf)) {
        return Ok(true);
    }
    let deadline = Instant::now() + NETDEV_TIMEOUT;
    let ready = |vf: &str| {
        let named = |(_, ifindex): &(String, u32)| has_udev_named(*ifindex);
        sysfs.netdevs_or_empty(vf).first().is_some_and(named)
    };
    while made.iter().any(|(_, vf)| !ready(vf)) && Instant::now() < deadline {
        thread::sleep(POLL_INTERVAL);
    }
    Ok(true)
}

pub(crate) fn wait_for_netdev(sysfs: &Sysfs, vf: &str) -> Result<(String, u32), Error> {
    let deadline = Instant::now() + NETDEV_TIMEOUT;
    loop {
        if let Some(netdev) = sysfs.netdevs_or_empty(vf).into_iter().next() {
            return Ok(netdev);
        }
        if Instant::now() >= deadline {
            return Err(Error::Nic(NicError::NoNetdev {
                vf: vf.to_owned(),
                seconds: NETDEV_TIMEOUT.as_secs(),
            }));
        }
        thread::sleep(POLL_INTERVAL);
    }
}
