//! The PF's side of a VF: write the differences, read back, believe only that.

use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::busy::{BUSY, while_busy};
use crate::claim::Claim;
use crate::driver::driver;
use crate::error::Netlink as Failure;
use crate::inventory::Pf;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::Sysfs;
use crate::plan::{Change, Settings, changes, phrase};

/// Leads the claim's VF to `want`. Changes that some drivers do not know are tried and not insisted on.
///
/// # Errors
/// [`Error::SetVf`] when the driver refuses; [`Error::NotTaken`] when it says yes and does not do it.
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
/// [`Error::SetVf`].
pub(crate) fn set(
    netlink: &Netlink,
    pf: &Pf,
    claim: &Claim,
    wanted: &[Change],
) -> Result<(), Error> {
    let set = while_busy(Failure::errno, || netlink.set_vf(pf.ifindex, claim.index, wanted));
    set.map_err(|source| {
        let (vf, pf, what) = (claim.vf.clone(), pf.name.clone(), phrase(wanted));
        Error::SetVf { vf, pf, what, source }
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
/// [`Error::NotTaken`], naming the first setting that differs.
pub(crate) fn readback(netlink: &Netlink, sysfs: &Sysfs, claim: &Claim) -> Result<(), Error> {
    let pf = pf_of(sysfs, claim)?;
    expect(&read(netlink, &pf, claim)?, &claim.want, claim)
}

pub(crate) fn pf_of(sysfs: &Sysfs, claim: &Claim) -> Result<Pf, Error> {
    Pf::at(sysfs, &claim.pf).ok_or_else(|| Error::PfGone {
        pf: format!("{} ({})", claim.pf_name, claim.pf),
        vf: claim.vf.clone(),
    })
}

pub(crate) fn read(netlink: &Netlink, pf: &Pf, claim: &Claim) -> Result<Settings, Error> {
    let deadline = Instant::now() + BUSY;
    loop {
        if let Some(settings) = netlink.vf_settings(&pf.name, pf.ifindex)?.get(&claim.index) {
            return Ok(*settings);
        }
        if Instant::now() >= deadline {
            return Err(Error::VfGone { vf: claim.vf.clone(), pf: pf.name.clone() });
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn split(have: &Settings, want: &Settings) -> (Vec<Change>, Vec<Change>) {
    changes(have, want).into_iter().partition(Change::is_optional)
}

fn expect(have: &Settings, want: &Settings, claim: &Claim) -> Result<(), Error> {
    match split(have, want).1.first() {
        None => Ok(()),
        Some(wanted) => Err(Error::NotTaken {
            vf: claim.vf.clone(),
            pf: claim.pf_name.clone(),
            wanted: wanted.to_string(),
            found: wanted.as_in(have).to_string(),
        }),
    }
}
