//! A VF on its way back: out of wherever it is, scrubbed, looked at, and only then free.
//!
//! The VF driver is unbound first. That unregisters the netdev in whatever namespace, under whatever name, with whatever
//! program on it (`unregister_netdevice`, `net/core/dev.c`), so the namespace need not be found; and what is then set on
//! the PF's side meets no driver that would answer with a reset. Binding makes a new netdev, in the host's namespace, DOWN.
//! The alternative, to find the netdev, move it home and take back one by one what a container may have done to it, has
//! to know everything that can be done to a netdev.

use std::thread;
use std::time::{Duration, Instant};

use crate::attach::wait_for_netdev;
use crate::claim::{Claim, Claims, State};
use crate::configure::{converge, pf_of, read};
use crate::kernel::netlink::{Flags, Netlink};
use crate::kernel::sysfs::Sysfs;
use crate::lock::lock_pf;
use crate::plan::{Change, LinkState, Settings};
use crate::process::ProcessId;
use crate::{Error, Host, MacAddress};

/// What became of one VF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// PCI address.
    pub vf: String,
    /// Its name inside the container.
    pub interface: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Free and read back clean, or gone from this machine together with all that was set on it.
    Clean,
    /// It is another's by now, or its container still runs: left alone.
    NotOurs,
    /// It could not be cleaned and will not be claimed again.
    Quarantined(String),
}

/// How long a container's init process may take to die. It has been killed before anybody asks for its VFs.
const DYING: Duration = Duration::from_secs(5);

/// Takes back every VF of a container. To be called when it is gone; for a container that has none, or has been released
/// already, nothing happens. A VF that cannot be cleaned does not keep the others.
///
/// # Errors
/// Only when the claims cannot be listed at all, or a PF's lock not be had.
pub fn release(host: &Host, container: &str) -> Result<Vec<Released>, Error> {
    let mut released = Vec::new();
    let mut failure = None;
    for claim in Claims::open(&host.run)?.of_container(container)? {
        let outcome = match wait_for_end(claim.init) {
            true => release_claim(host, &claim),
            false => Ok(Outcome::NotOurs),
        };
        match outcome {
            Ok(outcome) => {
                released.push(Released { vf: claim.vf, interface: claim.interface, outcome });
            }
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(released), Err)
}

fn wait_for_end(init: ProcessId) -> bool {
    let deadline = Instant::now() + DYING;
    while init.is_alive() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Takes back one VF, if the claim is still the one that the caller has seen. One in quarantine stays there.
pub(crate) fn release_claim(host: &Host, seen: &Claim) -> Result<Outcome, Error> {
    if let State::Quarantined { reason } = &seen.state {
        return Ok(Outcome::Quarantined(reason.clone()));
    }
    let _lock = lock_pf(&host.run, &seen.pf)?;
    release_locked(host, seen)
}

/// The same, under the PF's lock, and for a VF in quarantine another try.
pub(crate) fn release_locked(host: &Host, seen: &Claim) -> Result<Outcome, Error> {
    let claims = Claims::open(&host.run)?;
    let mut claim = match claims.get(&seen.vf) {
        Ok(Some(claim)) if claim.nonce == seen.nonce => claim,
        _ => return Ok(Outcome::NotOurs),
    };
    claim.state = State::Releasing;
    if let Some(worker) = ProcessId::own() {
        claim.worker = worker;
    }
    claims.update(&claim)?;
    let sysfs = Sysfs(host.sysfs.clone());
    match scrub(&sysfs, &claim) {
        Ok(()) => {
            claims.remove(&claim)?;
            Ok(Outcome::Clean)
        }
        Err(error) => {
            let reason = error.line();
            disarm(&sysfs, &claim);
            claim.state = State::Quarantined { reason: reason.clone() };
            claims.update(&claim)?;
            Ok(Outcome::Quarantined(reason))
        }
    }
}

fn scrub(sysfs: &Sysfs, claim: &Claim) -> Result<(), Error> {
    // Without a VF there is nothing set on it: the PF's driver forgets a VF's settings when it makes it anew.
    if !sysfs.exists(&claim.vf) {
        return Ok(());
    }
    let netlink = Netlink::open()?;
    if let Some(driver) = sysfs.driver(&claim.vf) {
        sysfs.unbind(&claim.vf, &driver)?;
    }
    let pf = pf_of(sysfs, claim)?;
    let assigned = claim.want.mac != MacAddress::default();
    if assigned {
        // All zeros takes an assigned address back; a driver that refuses gets the one it had.
        let unset = Change::Mac(MacAddress::default());
        if netlink.set_vf(pf.ifindex, claim.index, &[unset]).is_err() {
            let _ = netlink.set_vf(pf.ifindex, claim.index, &[Change::Mac(claim.before.mac)]);
        }
    }
    converge(&netlink, &pf, claim, &clean(claim))?;

    if claim.before.driver.is_some() {
        sysfs.probe(&claim.vf, claim.before.driver.as_deref())?;
        let (name, ifindex) = wait_for_netdev(sysfs, &claim.vf)?;
        if let Some(old) = claim.before.name.as_ref().filter(|old| **old != name) {
            // The name may be somebody else's by now, or udev's to give; a VF is no less clean under another.
            let _ = netlink.rename(ifindex, old);
        }
        verify_netdev(&netlink, claim, ifindex)?;
    }
    let have = read(&netlink, &pf, claim)?;
    if assigned && have.mac == claim.want.mac {
        return Err(dirty(claim, "still has the container's MAC"));
    }
    converge(&netlink, &pf, claim, &clean(claim))
}

/// What a free VF looks like, whoever had it. Its address is the driver's business.
fn clean(claim: &Claim) -> Settings {
    Settings { spoof_check: claim.before.spoof_check, ..Settings::default() }
}

fn verify_netdev(netlink: &Netlink, claim: &Claim, ifindex: u32) -> Result<(), Error> {
    let look = || netlink.link(ifindex)?.ok_or_else(|| dirty(claim, "vanished after its rebind"));
    let mut link = look()?;
    if link.flags != Flags::default() {
        // A fresh netdev is down; but a network manager may have taken to it at once.
        netlink.set_flags(ifindex, Flags::default()).map_err(|source| Error::Link {
            action: "bring down",
            object: format!("{} (VF {})", link.name, claim.vf),
            source,
        })?;
        link = look()?;
    }
    match link {
        _ if link.flags != Flags::default() => Err(dirty(claim, "is up or promiscuous")),
        _ if link.xdp => Err(dirty(claim, "still carries a program")),
        _ => Ok(()),
    }
}

fn dirty(claim: &Claim, what: &'static str) -> Error {
    Error::Dirty { vf: claim.vf.clone(), what }
}

/// The most that can be done for a VF that cannot be cleaned: it shall see nothing and be believed nothing.
fn disarm(sysfs: &Sysfs, claim: &Claim) {
    let (Ok(netlink), Ok(pf)) = (Netlink::open(), pf_of(sysfs, claim)) else { return };
    let vlan = Change::Vlan { vlan: 0, qos: 0, proto: crate::VlanProto::Dot1Q };
    for change in [vlan, Change::Trust(false), Change::LinkState(LinkState::Disable)] {
        // Each on its own, because one that fails must not keep the next.
        let _ = netlink.set_vf(pf.ifindex, claim.index, &[change]);
    }
}
