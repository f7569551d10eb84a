//! Claims whose owner is no more, and owners whose VF is no more.

use std::time::Duration;

use crate::error::Error;
use crate::host::Host;
use crate::kernel::netlink::Netlink;
use crate::kernel::retry::is_busy;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::Settings;
use crate::ledger::audit;
use crate::ledger::audit::{Entry, Event};
use crate::ledger::claim::{Claim, Claims, State};
use crate::ledger::error::LedgerError;
use crate::ledger::lock::{LOCK_TIMEOUT, PfLock, lock_pf_within};
use crate::lifecycle::ownership::{foreign_netns, foreign_owner};
use crate::lifecycle::release::{EXIT_TIMEOUT, Outcome, Released, release_locked};
use crate::lifecycle::scrub::disarm_again;
use crate::nic::diff::tampered;
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::locate::{Location, locate};
use crate::nic::vf_config::check_pci_address;
use crate::nic::vf_config::{converge_from, pf_of, read};
use crate::policy::config::OnLoss;

/// Releases every VF whose container, or whose half-done attach or release, has ended without doing so. Safe beside
/// running attaches: their claims have a living worker. For use on the way to something else: a PF that is busy is passed over,
/// and of living containers nothing is asked.
///
/// # Errors
/// When the claims cannot be listed.
pub fn reconcile(host: &Host) -> Result<Vec<Released>, Error> {
    // A claim that cannot be read is left where it is: its VF stays taken, and `status` shows it.
    Ok(reconcile_claims(host, Claims::open(&host.run)?.readable()?, Duration::ZERO))
}

/// The same, for whoever has just read the claims. `timeout` is for each PF that is busy.
pub(crate) fn reconcile_claims(host: &Host, all: Vec<Claim>, timeout: Duration) -> Vec<Released> {
    let mut released = Vec::new();
    for seen in all {
        if !seen.is_abandoned() {
            continue;
        }
        let Ok(lock) = lock_pf_within(&host.run, &seen.pf, timeout) else { continue };
        // What fails here must not keep others from their VFs. The claim stays.
        // Nor may a wait for foreign_netns in the VF's namespace: this is on the way to something else.
        if let Ok(Some(outcome)) = release_abandoned(host, &seen, &lock, Duration::ZERO) {
            released.push(Released::of(&seen, outcome));
        }
    }
    released
}

/// The same for one PF, by whoever has its lock and needs one VF. Whether one has become free: the others can wait for it.
pub(crate) fn reconcile_pf(host: &Host, pf: &str, lock: &PfLock) -> bool {
    let Ok(all) = Claims::open(&host.run).and_then(|claims| claims.readable()) else {
        return false;
    };
    let freed = |seen: &Claim| {
        let outcome = release_abandoned(host, seen, lock, Duration::ZERO);
        matches!(outcome, Ok(Some(Outcome::Clean | Outcome::Unrecorded(_))))
    };
    all.iter().filter(|seen| seen.pf == pf && seen.is_abandoned()).any(freed)
}

/// As [`reconcile`], but patient and thorough: it also looks for the VF of every living container, and tells of claims that
/// cannot be read.
///
/// # Errors
/// When the claims cannot be listed. What goes wrong with one claim is that one's outcome.
pub fn gc(host: &Host) -> Result<Vec<Released>, Error> {
    let mut done = Vec::new();
    let mut stuck: Vec<String> = Vec::new();
    for read in Claims::open(&host.run)?.all()? {
        let seen = match read {
            Ok(seen) => seen,
            Err(error) => {
                done.push(unreadable(error));
                continue;
            }
        };
        // A PF that was locked all the while for one claim is so for the next.
        let timeout = if stuck.contains(&seen.pf) { Duration::ZERO } else { LOCK_TIMEOUT };
        let outcome =
            lock_pf_within(&host.run, &seen.pf, timeout).and_then(|lock| match release_abandoned(
                host,
                &seen,
                &lock,
                EXIT_TIMEOUT,
            )? {
                None => look_for_loss(host, &seen, &lock),
                outcome => Ok(outcome),
            });
        match outcome {
            Ok(Some(outcome)) => done.push(Released::of(&seen, outcome)),
            Ok(None) => {}
            Err(error) => {
                if matches!(error, Error::Ledger(LedgerError::Locked { .. })) {
                    stuck.push(seen.pf.clone());
                }
                done.push(Released::of(&seen, Outcome::Left(error.line())));
            }
        }
    }
    Ok(done)
}

fn unreadable(error: Error) -> Released {
    let vf = match &error {
        Error::Ledger(LedgerError::BadClaim { path, .. }) => {
            path.file_stem().unwrap_or_default().to_string_lossy()
        }
        _ => "".into(),
    };
    let vf = vf.into_owned();
    let outcome = Outcome::Unreadable(error.line());
    Released { vf, interface: String::new(), container: String::new(), outcome }
}

/// `None`: it is not abandoned after all. The record may have been replaced since it was seen, and once more by a worker that
/// ended while we looked; what is on disk after a worker's death is its last word.
fn release_abandoned(
    host: &Host,
    seen: &Claim,
    _lock: &PfLock,
    exit_timeout: Duration,
) -> Result<Option<Outcome>, Error> {
    let claims = Claims::open(&host.run)?;
    for _ in 0..2 {
        match claims.get(&seen.vf) {
            Ok(Some(now)) if now.nonce == seen.nonce && now.is_abandoned() => {}
            _ => return Ok(None),
        }
    }
    release_locked(host, seen, exit_timeout, Event::Released).map(Some)
}

/// Whether a living container still has its VF, as it is to be; and what is to be done if not.
fn look_for_loss(host: &Host, seen: &Claim, _lock: &PfLock) -> Result<Option<Outcome>, Error> {
    let claims = Claims::open(&host.run)?;
    let mut claim = match claims.get(&seen.vf) {
        Ok(Some(now)) if now.nonce == seen.nonce => now,
        _ => return Ok(None),
    };
    let sysfs = Sysfs(host.sysfs.clone());
    let reason = match &claim.state {
        State::Lost { reason } => reason.clone(),
        State::Quarantined { .. } => {
            // It may have been destroyed and made again, and be another's by now.
            if matches!(foreign_owner(&sysfs, &claim, Duration::ZERO), Ok(None)) {
                disarm_again(&sysfs, &claim);
            }
            return Ok(None);
        }
        State::Attached => {
            // Twice, since a container may be moving it from one namespace to another while we look into both.
            match (loss(&sysfs, &claim)?, loss(&sysfs, &claim)?) {
                (Some(_), Some(reason)) => reason,
                _ => match set_back(host, &sysfs, &claim)? {
                    Ok(outcome) => return Ok(outcome),
                    Err(reason) => reason,
                },
            }
        }
        _ => return Ok(None),
    };
    if claim.state == State::Attached {
        // If it cannot be written, the claim has it all the same.
        let _ = audit::record(host, &Entry::lost(&claim, &reason));
        claims.advance(&mut claim, State::Lost { reason: reason.clone() })?;
    }
    cut_off(&sysfs, &claim);
    let what = match claim.on_loss {
        OnLoss::Keep => "its container runs on",
        OnLoss::Stop => {
            claim.init.kill()?;
            "its container was stopped"
        }
    };
    Ok(Some(Outcome::Lost(format!("{reason}; {what}"))))
}

/// A VF whose VLAN or trust another tool has changed under its container sees what that tool chose. Why it could not be set back,
/// if so: then it is lost. A driver that is busy is no such reason, and asked again by the next `gc`.
fn set_back(
    host: &Host,
    sysfs: &Sysfs,
    claim: &Claim,
) -> Result<Result<Option<Outcome>, String>, Error> {
    check_pci_address(sysfs, claim)?;
    let (netlink, pf) = (Netlink::open()?, pf_of(sysfs, claim)?);
    let have = read(&netlink, &pf, claim)?;
    let Some(what) = tampered(&have, &claim.want) else { return Ok(Ok(None)) };
    // If it cannot be written, the outcome has it all the same.
    let _ = audit::record(host, &Entry::changed(claim, &what));
    let Settings { vlan, qos, proto, trust, .. } = claim.want;
    let want = Settings { vlan, qos, proto, trust, ..have };
    let resets = driver(sysfs.driver(&pf.pci).as_deref()).config_resets_vf;
    Ok(match converge_from(&netlink, &pf, claim, &have, &want) {
        Ok(()) if !resets => Ok(Some(Outcome::SetBack(what))),
        // Both changes have reset the VF under its driver, which may believe in a promiscuity that the PF has forgotten.
        Ok(()) => Err(format!("{what}: set back, but it may not be promiscuous any more")),
        Err(Error::Nic(NicError::SetVf { source, vf, pf, what })) if is_busy(source.errno()) => {
            return Err(Error::Nic(NicError::SetVf { source, vf, pf, what }));
        }
        Err(error) => Err(format!("{what}: {}", error.line())),
    })
}

/// Takes the driver from a lost VF whose container has it still, on a VLAN that is not its own. Not `disarm`: without a VLAN, the
/// untagged LAN would be seen.
fn cut_off(sysfs: &Sysfs, claim: &Claim) {
    let other = locate(sysfs, &claim.vf, claim.netns.id);
    let (Ok(Location::OtherNetns(other)), Some(driver)) = (other, sysfs.driver(&claim.vf)) else {
        return;
    };
    let others = foreign_netns(sysfs, claim, &other);
    if !matches!(others, Ok(None)) || check_pci_address(sysfs, claim).is_err() {
        return;
    }
    let (Ok(netlink), Ok(pf)) = (Netlink::open(), pf_of(sysfs, claim)) else { return };
    if read(&netlink, &pf, claim).is_ok_and(|have| tampered(&have, &claim.want).is_some()) {
        // If it cannot be taken, its container may at least be killed.
        let _ = sysfs.unbind(&claim.vf, &driver);
    }
}

fn loss(sysfs: &Sysfs, claim: &Claim) -> Result<Option<String>, Error> {
    if !sysfs.exists(&claim.vf) {
        return Ok(Some("the VF vanished".to_owned()));
    }
    Ok(match locate(sysfs, &claim.vf, claim.netns.id)? {
        // Wherever the container has put it, it is the container's. But a VF that was made again is theirs who took it.
        Location::OtherNetns(other) => foreign_netns(sysfs, claim, &other)?,
        Location::HostNetns => Some("its interface came back to the host".to_owned()),
        Location::Missing => Some("its interface is gone".to_owned()),
    })
}
