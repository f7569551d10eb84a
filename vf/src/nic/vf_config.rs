//! A VF's settings on its PF: write only what differs, read back, and trust only what reads back.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::error::NetlinkError;
use crate::kernel::netlink::Netlink;
use crate::kernel::retry::{BUSY_TIMEOUT, retry_while_busy};
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::{Change, Settings};
use crate::ledger::claim::Claim;
use crate::nic::diff::{changes, describe};
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::pf::{Pf, netdev_error};

/// Interval between two reads of a VF's settings.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Gives the claim's VF the settings `want`. A failed change is ignored if it is optional
/// ([`Change::is_optional`]).
///
/// # Errors
/// [`NicError::SetVf`] when the driver refuses a change. [`NicError::ReadbackDiffers`] when it
/// reports success but another value reads back.
pub(crate) fn converge(
    netlink: &Netlink,
    pf: &Pf,
    claim: &Claim,
    want: &Settings,
) -> Result<(), Error> {
    converge_from(netlink, pf, claim, &read_settings(netlink, pf, claim)?, want)
}

/// As [`converge`], for a caller that has just read the VF's settings, `have`.
pub(crate) fn converge_from(
    netlink: &Netlink,
    pf: &Pf,
    claim: &Claim,
    have: &Settings,
    want: &Settings,
) -> Result<(), Error> {
    let (optional, required) = split_by_optional(have, want);
    if !required.is_empty() {
        apply_changes(netlink, pf, claim, &required)?;
        compare(&read_settings(netlink, pf, claim)?, want, claim)?;
    }
    for change in optional {
        // Some drivers answer EOPNOTSUPP: see `Change::is_optional`.
        let _ = apply_changes(netlink, pf, claim, &[change]);
    }
    Ok(())
}

/// Applies changes to the claim's VF and retries while the driver is busy.
///
/// The kernel applies the changes of one message one by one and stops at the first failure
/// (`do_setvfinfo`, `net/core/rtnetlink.c`). A retry may therefore repeat a change, which is
/// harmless.
///
/// # Errors
/// [`NicError::SetVf`].
pub(crate) fn apply_changes(
    netlink: &Netlink,
    pf: &Pf,
    claim: &Claim,
    changes: &[Change],
) -> Result<(), Error> {
    let result =
        retry_while_busy(NetlinkError::errno, || netlink.set_vf(pf.ifindex, claim.index, changes));
    result.map_err(|source| {
        let (vf, pf, what) = (claim.vf.clone(), pf.name.clone(), describe(changes));
        Error::Nic(NicError::SetVf { vf, pf, what, source })
    })
}

/// Unbinds a VF's driver and waits until the PF has finished the VF reset that follows.
///
/// # Errors
/// As [`Sysfs::unbind`].
pub(crate) fn unbind(sysfs: &Sysfs, pf: &str, vf: &str, driver: &str) -> Result<(), Error> {
    sysfs.unbind(vf, driver)?;
    wait_for_reset(sysfs, pf);
    Ok(())
}

/// Waits as long as the PF may need for a VF reset: see
/// [`Driver::reset_time`](crate::nic::driver::Driver::reset_time).
pub(crate) fn wait_for_reset(sysfs: &Sysfs, pf: &str) {
    thread::sleep(driver(sysfs.driver(pf).as_deref()).reset_time());
}

/// Checks that the PF still reports the settings that the claim wants.
///
/// # Errors
/// [`NicError::ReadbackDiffers`] with the first setting that differs.
pub(crate) fn verify_settings(
    netlink: &Netlink,
    sysfs: &Sysfs,
    claim: &Claim,
) -> Result<(), Error> {
    let pf = find_pf(sysfs, claim)?;
    compare(&read_settings(netlink, &pf, claim)?, &claim.want, claim)
}

/// Finds the PF of a claim by its PCI address.
///
/// # Errors
/// [`NicError::PfGone`] when the PF does not exist or has no netdev; [`NicError::PfInOtherNetns`],
/// [`NicError::SeveralNetdevs`].
pub(crate) fn find_pf(sysfs: &Sysfs, claim: &Claim) -> Result<Pf, Error> {
    Pf::at(sysfs, &claim.pf).map_err(|problem| {
        netdev_error(problem, &claim.pf_name, &claim.pf).unwrap_or_else(|| {
            Error::Nic(NicError::PfGone {
                pf: format!("{} ({})", claim.pf_name, claim.pf),
                vf: claim.vf.clone(),
            })
        })
    })
}

/// Reads the VF's settings from the PF. Waits up to [`BUSY_TIMEOUT`] for a PF that does not report
/// the VF yet.
///
/// # Errors
/// [`NicError::VfGone`] when the PF does not report the VF.
pub(crate) fn read_settings(netlink: &Netlink, pf: &Pf, claim: &Claim) -> Result<Settings, Error> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        if let Some(settings) = netlink.vf_settings(&pf.name, pf.ifindex)?.get(&claim.index) {
            return Ok(*settings);
        }
        if Instant::now() >= deadline {
            return Err(Error::Nic(NicError::VfGone { vf: claim.vf.clone(), pf: pf.name.clone() }));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Checks the claim's PCI address against sysfs, because a wrong record must not make runvf change
/// a foreign VF.
///
/// # Errors
/// [`NicError::VfGone`] when the PF has no VF, or another one, at the claim's index.
pub(crate) fn check_pci_address(sysfs: &Sysfs, claim: &Claim) -> Result<(), Error> {
    match sysfs.virtfn(&claim.pf, claim.index) {
        Some(vf) if vf == claim.vf => Ok(()),
        _ => Err(Error::Nic(NicError::VfGone { vf: claim.vf.clone(), pf: claim.pf_name.clone() })),
    }
}

fn split_by_optional(have: &Settings, want: &Settings) -> (Vec<Change>, Vec<Change>) {
    changes(have, want).into_iter().partition(Change::is_optional)
}

fn compare(have: &Settings, want: &Settings, claim: &Claim) -> Result<(), Error> {
    match split_by_optional(have, want).1.first() {
        None => Ok(()),
        Some(wanted) => Err(Error::Nic(NicError::ReadbackDiffers {
            vf: claim.vf.clone(),
            pf: claim.pf_name.clone(),
            wanted: wanted.to_string(),
            found: wanted.value_in(have).to_string(),
        })),
    }
}
