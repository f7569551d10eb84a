//! The PF's side of a VF: write the differences, read back, believe only that.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::error::NetlinkError;
use crate::kernel::netlink::Netlink;
use crate::kernel::retry::{BUSY_TIMEOUT, retry_while_busy};
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::{Change, Settings};
use crate::ledger::claim::Claim;
use crate::nic::diff::{changes, phrase};
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::pf::Pf;

/// Leads the claim's VF to `want`. Changes that some drivers do not know are tried and not insisted on.
///
/// # Errors
/// [`NicError::SetVf`] when the driver refuses; [`NicError::ReadbackDiffers`] when it says yes and does not do it.
pub(crate) fn converge(
    netlink: &Netlink,
    pf: &Pf,
    claim: &Claim,
    want: &Settings,
) -> Result<(), Error> {
    converge_from(netlink, pf, claim, &read(netlink, pf, claim)?, want)
}

/// The same, for whoever has just read what there is.
pub(crate) fn converge_from(
    netlink: &Netlink,
    pf: &Pf,
    claim: &Claim,
    have: &Settings,
    want: &Settings,
) -> Result<(), Error> {
    let (optional, needed) = split(have, want);
    if !needed.is_empty() {
        set(netlink, pf, claim, &needed)?;
        expect(&read(netlink, pf, claim)?, want, claim)?;
    }
    for change in optional {
        // EOPNOTSUPP and the like: see `Change::is_optional`.
        let _ = set(netlink, pf, claim, &[change]);
    }
    Ok(())
}

/// Makes changes, as often as it takes a driver that calls itself busy.
///
/// The kernel makes those of one message one by one and stops at the first that fails (`do_setvfinfo`, `net/core/rtnetlink.c`); to
/// make them again does no harm.
///
/// # Errors
/// [`NicError::SetVf`].
pub(crate) fn set(
    netlink: &Netlink,
    pf: &Pf,
    claim: &Claim,
    wanted: &[Change],
) -> Result<(), Error> {
    let set =
        retry_while_busy(NetlinkError::errno, || netlink.set_vf(pf.ifindex, claim.index, wanted));
    set.map_err(|source| {
        let (vf, pf, what) = (claim.vf.clone(), pf.name.clone(), phrase(wanted));
        Error::Nic(NicError::SetVf { vf, pf, what, source })
    })
}

/// Takes the driver from a VF, and returns when the PF is through with the reset that comes of it.
///
/// # Errors
/// As [`Sysfs::unbind`].
pub(crate) fn unbind(sysfs: &Sysfs, pf: &str, vf: &str, bound: &str) -> Result<(), Error> {
    sysfs.unbind(vf, bound)?;
    await_reset(sysfs, pf);
    Ok(())
}

pub(crate) fn await_reset(sysfs: &Sysfs, pf: &str) {
    thread::sleep(driver(sysfs.driver(pf).as_deref()).reset());
}

/// Whether the PF still says of the claim's VF what the claim wants.
///
/// # Errors
/// [`NicError::ReadbackDiffers`], naming the first setting that differs.
pub(crate) fn readback(netlink: &Netlink, sysfs: &Sysfs, claim: &Claim) -> Result<(), Error> {
    let pf = pf_of(sysfs, claim)?;
    expect(&read(netlink, &pf, claim)?, &claim.want, claim)
}

pub(crate) fn pf_of(sysfs: &Sysfs, claim: &Claim) -> Result<Pf, Error> {
    Pf::at(sysfs, &claim.pf).ok_or_else(|| {
        Error::Nic(NicError::PfGone {
            pf: format!("{} ({})", claim.pf_name, claim.pf),
            vf: claim.vf.clone(),
        })
    })
}

pub(crate) fn read(netlink: &Netlink, pf: &Pf, claim: &Claim) -> Result<Settings, Error> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        if let Some(settings) = netlink.vf_settings(&pf.name, pf.ifindex)?.get(&claim.index) {
            return Ok(*settings);
        }
        if Instant::now() >= deadline {
            return Err(Error::Nic(NicError::VfGone { vf: claim.vf.clone(), pf: pf.name.clone() }));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The address in the record against the kernel's own word: a record that is wrong must not lead to another's VF.
pub(crate) fn check_pci_address(sysfs: &Sysfs, claim: &Claim) -> Result<(), Error> {
    match sysfs.virtfn(&claim.pf, claim.index) {
        Some(there) if there == claim.vf => Ok(()),
        _ => Err(Error::Nic(NicError::VfGone { vf: claim.vf.clone(), pf: claim.pf_name.clone() })),
    }
}

fn split(have: &Settings, want: &Settings) -> (Vec<Change>, Vec<Change>) {
    changes(have, want).into_iter().partition(Change::is_optional)
}

fn expect(have: &Settings, want: &Settings, claim: &Claim) -> Result<(), Error> {
    match split(have, want).1.first() {
        None => Ok(()),
        Some(wanted) => Err(Error::Nic(NicError::ReadbackDiffers {
            vf: claim.vf.clone(),
            pf: claim.pf_name.clone(),
            wanted: wanted.to_string(),
            found: wanted.as_in(have).to_string(),
        })),
    }
}
