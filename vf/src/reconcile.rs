//! Claims whose owner is no more, and owners whose VF is no more.

use std::time::Duration;

use crate::audit::{self, Entry, Event};
use crate::claim::{Claim, Claims, State};
use crate::config::OnLoss;
use crate::kernel::sysfs::Sysfs;
use crate::lock::{PATIENCE, PfLock, lock_pf_within};
use crate::release::{DYING, Outcome, Released, release_locked};
use crate::whereabouts::{Whereabouts, find};
use crate::{Error, Host};

/// Releases every VF whose container, or whose half-done attach or release, has ended without doing so. Safe beside
/// running attaches: their claims have a living worker. For use on the way to something else: a PF that is busy is passed over,
/// and of living containers nothing is asked.
///
/// # Errors
/// When the claims cannot be listed.
pub fn reconcile(host: &Host) -> Result<Vec<Released>, Error> {
    let mut released = Vec::new();
    // A claim that cannot be read is left where it is: its VF stays taken, and `status` shows it.
    for seen in Claims::open(&host.run)?.all()?.into_iter().filter_map(Result::ok) {
        if !seen.is_abandoned() {
            continue;
        }
        let Ok(lock) = lock_pf_within(&host.run, &seen.pf, Duration::ZERO) else { continue };
        // What fails here must not keep others from their VFs. The claim stays.
        // Nor may a wait: this is on the way to something else.
        if let Ok(Some(outcome)) = release_abandoned(host, &seen, &lock, Duration::ZERO) {
            released.push(Released::of(&seen, outcome));
        }
    }
    Ok(released)
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
        let patience = if stuck.contains(&seen.pf) { Duration::ZERO } else { PATIENCE };
        let outcome =
            lock_pf_within(&host.run, &seen.pf, patience).and_then(|lock| match release_abandoned(
                host, &seen, &lock, DYING,
            )? {
                None => look_for_loss(host, &seen, &lock),
                outcome => Ok(outcome),
            });
        match outcome {
            Ok(Some(outcome)) => done.push(Released::of(&seen, outcome)),
            Ok(None) => {}
            Err(error) => {
                if matches!(error, Error::Locked { .. }) {
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
        Error::BadClaim { path, .. } => path.file_stem().unwrap_or_default().to_string_lossy(),
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
    dying: Duration,
) -> Result<Option<Outcome>, Error> {
    let claims = Claims::open(&host.run)?;
    for _ in 0..2 {
        match claims.get(&seen.vf) {
            Ok(Some(now)) if now.nonce == seen.nonce && now.is_abandoned() => {}
            _ => return Ok(None),
        }
    }
    release_locked(host, seen, dying, Event::Released).map(Some)
}

/// Whether a living container still has its VF; and what is to be done if not.
fn look_for_loss(host: &Host, seen: &Claim, _lock: &PfLock) -> Result<Option<Outcome>, Error> {
    let claims = Claims::open(&host.run)?;
    let mut claim = match claims.get(&seen.vf) {
        Ok(Some(now)) if now.nonce == seen.nonce => now,
        _ => return Ok(None),
    };
    let reason = match &claim.state {
        State::Lost { reason } => reason.clone(),
        State::Attached => {
            let sysfs = Sysfs(host.sysfs.clone());
            // Twice, since a container may be moving it from one namespace to another while we look into both.
            match (loss(&sysfs, &claim)?, loss(&sysfs, &claim)?) {
                (Some(_), Some(reason)) => reason.to_owned(),
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    if claim.state == State::Attached {
        // If it cannot be written, the claim has it all the same.
        let _ = audit::record(host, &Entry::lost(&claim, &reason));
        claims.advance(&mut claim, State::Lost { reason: reason.clone() })?;
    }
    let what = match claim.on_loss {
        OnLoss::Keep => "its container runs on",
        OnLoss::Stop => {
            claim.init.kill()?;
            "its container was stopped"
        }
    };
    Ok(Some(Outcome::Lost(format!("{reason}; {what}"))))
}

fn loss(sysfs: &Sysfs, claim: &Claim) -> Result<Option<&'static str>, Error> {
    if !sysfs.exists(&claim.vf) {
        return Ok(Some("the VF vanished"));
    }
    Ok(match find(sysfs, &claim.vf, claim.netns.id)? {
        // Wherever the container has put it, it is the container's.
        Whereabouts::Away { .. } => None,
        Whereabouts::Home => Some("its interface came back to the host"),
        Whereabouts::Nowhere => Some("its interface is gone"),
    })
}
