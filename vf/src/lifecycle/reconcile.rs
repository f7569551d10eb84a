//! Reconcile claims with the host: dead owners, lost VFs.

use std::time::Duration;

use crate::error::Error;
use crate::host::Host;
use crate::ledger::audit::Event;
use crate::ledger::claim::Claim;
use crate::ledger::claims::Claims;
use crate::ledger::error::LedgerError;
use crate::ledger::lock::{LOCK_TIMEOUT, PfLock, lock_pf_within};
use crate::lifecycle::loss::handle_loss;
use crate::lifecycle::outcome::{Outcome, Released};
use crate::lifecycle::release::{EXIT_TIMEOUT, release_locked};

/// Releases every VF of an abandoned claim: its container has exited, or its attach or release
/// was killed. Running attaches are safe, because the worker of their claims is alive.
///
/// This is the fast reconcile for use within another command: it skips PFs that are locked, and
/// does not check the VFs of running containers. [`gc`] does both.
///
/// # Errors
/// When the claims cannot be listed.
pub fn reconcile(host: &Host) -> Result<Vec<Released>, Error> {
    // An unreadable claim is skipped: its VF stays claimed, and `runvfctl status` shows the claim.
    Ok(reconcile_claims(host, Claims::open(&host.run)?.readable()?, Duration::ZERO))
}

/// As [`reconcile`], for claims that the caller has just read. `timeout` is how long to wait for
/// the lock of each PF.
pub(crate) fn reconcile_claims(
    host: &Host,
    claims: Vec<Claim>,
    timeout: Duration,
) -> Vec<Released> {
    let mut released = Vec::new();
    for seen in claims {
        if !seen.is_abandoned() {
            continue;
        }
        let Ok(lock) = lock_pf_within(&host.run, &seen.pf, timeout) else { continue };
        // An error on one claim is ignored, because the other VFs must still be released; this
        // claim stays. The exit timeout is zero, because the calling command must not wait for
        // processes in the VF's network namespace.
        if let Ok(Some(outcome)) = release_abandoned(host, &seen, &lock, Duration::ZERO) {
            released.push(Released::of(&seen, outcome));
        }
    }
    released
}

/// Releases abandoned claims of one PF until one VF is free, because the caller needs only one.
/// Returns whether a VF is free. The caller has the PF's lock.
pub(crate) fn reconcile_pf(host: &Host, pf: &str, lock: &PfLock) -> bool {
    let Ok(claims) = Claims::open(&host.run).and_then(|claims| claims.readable()) else {
        return false;
    };
    let is_freed = |seen: &Claim| {
        let outcome = release_abandoned(host, seen, lock, Duration::ZERO);
        matches!(outcome, Ok(Some(Outcome::Clean | Outcome::Unrecorded(_))))
    };
    claims.iter().filter(|seen| seen.pf == pf && seen.is_abandoned()).any(is_freed)
}

/// Releases abandoned claims as [`reconcile`] does, but waits for locked PFs and exiting processes.
/// Also checks the VF of every running container, and reports claims that cannot be read.
///
/// # Errors
/// When the claims cannot be listed. An error on one claim is the outcome for this claim.
pub fn gc(host: &Host) -> Result<Vec<Released>, Error> {
    let mut results = Vec::new();
    let mut locked_pfs: Vec<String> = Vec::new();
    for claim in Claims::open(&host.run)?.all()? {
        let seen = match claim {
            Ok(seen) => seen,
            Err(error) => {
                results.push(unreadable(error));
                continue;
            }
        };
        // A PF that stayed locked for one claim is not waited for again.
        let timeout = if locked_pfs.contains(&seen.pf) { Duration::ZERO } else { LOCK_TIMEOUT };
        match gc_claim(host, &seen, timeout) {
            Ok(Some(outcome)) => results.push(Released::of(&seen, outcome)),
            Ok(None) => {}
            Err(error) => {
                if matches!(error, Error::Ledger(LedgerError::Locked { .. })) {
                    locked_pfs.push(seen.pf.clone());
                }
                results.push(Released::of(&seen, Outcome::Left(error.line())));
            }
        }
    }
    Ok(results)
}

/// Releases the claim if it is abandoned; otherwise checks the container's VF.
fn gc_claim(host: &Host, seen: &Claim, timeout: Duration) -> Result<Option<Outcome>, Error> {
    let lock = lock_pf_within(&host.run, &seen.pf, timeout)?;
    match release_abandoned(host, seen, &lock, EXIT_TIMEOUT)? {
        None => handle_loss(host, seen, &lock),
        outcome => Ok(outcome),
    }
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

/// Releases the claim if it is still `seen` and abandoned. `None`: it is not abandoned.
///
/// The claim is read twice: between a read and the check whether its worker is alive, this worker
/// may write the claim again and exit. After the worker's death the claim on disk is final, so the
/// second read is correct.
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
