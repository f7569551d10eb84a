//! Claims whose owner is no more.

use std::time::Duration;

use crate::claim::{Claim, Claims, State};
use crate::lock::{lock_pf, lock_pf_within};
use crate::process::boot_id;
use crate::release::{Outcome, Released, release_locked};
use crate::{Error, Host};

/// Releases every VF whose container, or whose half-done attach or release, has ended without doing so. Safe beside
/// running attaches: their claims have a living worker. For use on the way to something else: a PF that is busy is passed over.
///
/// # Errors
/// When the claims cannot be listed.
pub fn reconcile(host: &Host) -> Result<Vec<Released>, Error> {
    let mut released = Vec::new();
    // A claim that cannot be read is left where it is: its VF stays taken, and `status` shows it.
    for seen in Claims::open(&host.run)?.all()?.into_iter().filter_map(Result::ok) {
        if !is_abandoned(&seen) {
            continue;
        }
        let Ok(_lock) = lock_pf_within(&host.run, &seen.pf, Duration::ZERO) else { continue };
        // What fails here must not keep others from their VFs. The claim stays.
        if let Ok(Some(outcome)) = release_abandoned(host, &seen) {
            released.push(Released { vf: seen.vf, interface: seen.interface, outcome });
        }
    }
    Ok(released)
}

/// As [`reconcile`], but patient, and it tries the quarantined again.
///
/// # Errors
/// When the claims cannot be listed, or a PF's lock not be had, or a claim not be written.
pub fn gc(host: &Host) -> Result<Vec<Released>, Error> {
    let mut released = Vec::new();
    for seen in Claims::open(&host.run)?.all()?.into_iter().filter_map(Result::ok) {
        let quarantined = matches!(seen.state, State::Quarantined { .. });
        if !quarantined && !is_abandoned(&seen) {
            continue;
        }
        let _lock = lock_pf(&host.run, &seen.pf)?;
        let outcome = match quarantined {
            true => Some(release_locked(host, &seen)?),
            false => release_abandoned(host, &seen)?,
        };
        if let Some(outcome) = outcome {
            released.push(Released { vf: seen.vf, interface: seen.interface, outcome });
        }
    }
    Ok(released)
}

/// `None`: it is not abandoned after all. The record may have been replaced since it was seen, and once more by a worker that
/// ended while we looked; what is on disk after a worker's death is its last word.
fn release_abandoned(host: &Host, seen: &Claim) -> Result<Option<Outcome>, Error> {
    let claims = Claims::open(&host.run)?;
    for _ in 0..2 {
        match claims.get(&seen.vf) {
            Ok(Some(now)) if now.nonce == seen.nonce && is_abandoned(&now) => {}
            _ => return Ok(None),
        }
    }
    release_locked(host, seen).map(Some)
}

fn is_abandoned(claim: &Claim) -> bool {
    match claim.state {
        State::Quarantined { .. } => false,
        _ if claim.boot_id != boot_id() => true,
        State::Attached => !claim.init.is_alive(),
        State::Claiming | State::Configured | State::Releasing => !claim.worker.is_alive(),
    }
}
