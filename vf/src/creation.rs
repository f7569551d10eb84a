//! VFs are made: only on a PF that has none. A count that is not zero cannot be changed without destroying every VF of the PF.

use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::config::Pool;
use crate::inventory::Pf;
use crate::kernel::sysfs::Sysfs;
use crate::netdev::has_udev_named;

/// How long a VF's driver may take to bring up the netdev.
pub(crate) const NETDEV: Duration = Duration::from_secs(10);
/// Between two looks at something that has no event to wait for.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// How many VFs a pool wants on a PF that has none.
pub(crate) fn wanted(pf: &Pf, pool: &Pool) -> usize {
    pool.vfs.map_or(pf.total, |vfs| vfs.min(pf.total))
}

/// To be called under the PF's lock.
///
/// # Errors
/// [`Error::VfsNotMade`] when the driver made another number; what the write to sysfs can fail with.
pub(crate) fn create_vfs(sysfs: &Sysfs, pf: &Pf, pool: &Pool) -> Result<(), Error> {
    if !sysfs.virtfns(&pf.pci).is_empty() {
        return Ok(());
    }
    let wanted = wanted(pf, pool);
    sysfs.set_numvfs(&pf.pci, wanted)?;
    // The write may succeed and have made fewer or none (bnxt with its PF down, firmware in a reset).
    let made = sysfs.virtfns(&pf.pci);
    if made.len() != wanted {
        return Err(Error::VfsNotMade { pf: pf.name.clone(), wanted, made: made.len() });
    }
    // Drivers may still be loading. A VF without its driver would be taken for one that is kept without.
    if made.iter().any(|(_, vf)| !sysfs.autoprobes(vf)) {
        return Ok(());
    }
    let deadline = Instant::now() + NETDEV;
    let ready = |vf: &str| {
        let named = |(_, ifindex): &(String, u32)| has_udev_named(*ifindex);
        sysfs.netdevs(vf).first().is_some_and(named)
    };
    while made.iter().any(|(_, vf)| !ready(vf)) && Instant::now() < deadline {
        thread::sleep(LOOK);
    }
    Ok(())
}
