//! Release: scrub a dead container's VF, verify it, remove the claim.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::fault;
use crate::host::Host;
use crate::kernel::error::KernelError;
use crate::kernel::process::ProcessId;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::audit;
use crate::ledger::audit::{Entry, Event};
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::ledger::error::LedgerError;
use crate::ledger::lock::{LOCK_TIMEOUT, lock_pf_within};
use crate::lifecycle::disarm::disarm;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::outcome::{Outcome, Released};
use crate::lifecycle::ownership::foreign_owner;
use crate::lifecycle::scrub::scrub;
use crate::policy::config::Scrub;

/// How long a container's processes may take to exit. The engine kills them before it asks for the
/// release of the container's VFs.
pub(crate) const EXIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two checks whether the init process has exited.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Releases every VF of a container that has exited. A container without claims is no error, so a
/// second call changes nothing.
///
/// A failure on one VF is the outcome for this VF; the other VFs are released all the same.
///
/// # Errors
/// Only when the claims cannot be listed.
pub fn release(host: &Host, container: &str) -> Result<Vec<Released>, Error> {
    let mut released = Vec::new();
    let mut locked_pfs: Vec<String> = Vec::new();
    for claim in Claims::open(&host.run)?.of_container(container)? {
        // A PF that stayed locked for one VF is not waited for again.
        let timeout = if locked_pfs.contains(&claim.pf) { Duration::ZERO } else { LOCK_TIMEOUT };
        let outcome = match wait_for_exit(claim.init) {
            true => release_claim(host, &claim, timeout, Event::Released),
            false => Ok(still_running(&claim)),
        };
        if matches!(outcome, Err(Error::Ledger(LedgerError::Locked { .. }))) {
            locked_pfs.push(claim.pf.clone());
        }
        let outcome = outcome.unwrap_or_else(|error| Outcome::Left(error.line()));
        released.push(Released::of(&claim, outcome));
    }
    Ok(released)
}

/// Releases one VF. With `force`, a running container loses it.
///
/// # Errors
/// [`LifecycleError::NoClaim`]; when the claim cannot be read, the PF's lock cannot be acquired, or
/// the VF cannot be inspected.
pub fn release_vf(host: &Host, vf: &str, force: bool) -> Result<Released, Error> {
    let no_claim = || Error::Lifecycle(LifecycleError::NoClaim { vf: vf.to_owned() });
    let claim = Claims::open(&host.run)?.get(vf)?.ok_or_else(no_claim)?;
    let outcome = match (claim.init.is_alive(), force) {
        (true, false) => still_running(&claim),
        (true, true) => release_claim(host, &claim, LOCK_TIMEOUT, Event::Forced)?,
        (false, _) => release_claim(host, &claim, LOCK_TIMEOUT, Event::Released)?,
    };
    Ok(Released::of(&claim, outcome))
}

fn still_running(claim: &Claim) -> Outcome {
    Outcome::Left(format!("its container is still running (process {})", claim.init.pid))
}

fn wait_for_exit(init: ProcessId) -> bool {
    let deadline = Instant::now() + EXIT_TIMEOUT;
    while init.is_alive() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
    true
}

/// Releases the claim's VF if the claim on disk is still `seen`. A VF in quarantine stays there.
/// `event` is the event of the audit entry if the VF reads back clean.
pub(crate) fn release_claim(
    host: &Host,
    seen: &Claim,
    timeout: Duration,
    event: Event,
) -> Result<Outcome, Error> {
    let _lock = lock_pf_within(&host.run, &seen.pf, timeout)?;
    release_locked(host, seen, EXIT_TIMEOUT, event)
}

/// As [`release_claim`], for a caller that has the PF's lock. `exit_timeout` is how long the
/// processes in the VF's network namespace may take to exit.
pub(crate) fn release_locked(
    host: &Host,
    seen: &Claim,
    exit_timeout: Duration,
    event: Event,
) -> Result<Outcome, Error> {
    let claim = match Claims::open(&host.run)?.get(&seen.vf) {
        Ok(Some(claim)) if claim.nonce == seen.nonce => claim,
        Ok(Some(_)) => {
            return Ok(Outcome::Left("the claim now belongs to another container".to_owned()));
        }
        Ok(None) => return Ok(Outcome::Left("its claim has already been removed".to_owned())),
        Err(error) => return Ok(Outcome::Left(error.line())),
    };
    if let State::Quarantined { reason } = claim.state {
        return Ok(Outcome::Quarantined(reason));
    }
    if let Some(reason) = foreign_owner(&Sysfs(host.sysfs.clone()), &claim, exit_timeout)? {
        return Ok(Outcome::Left(reason));
    }
    let method = claim.scrub;
    scrub_and_free(host, claim, method, event)
}

/// Scrubs a VF that no container uses, and frees it. A VF that cannot be cleaned is quarantined.
/// The caller has the PF's lock.
pub(crate) fn scrub_and_free(
    host: &Host,
    mut claim: Claim,
    method: Scrub,
    event: Event,
) -> Result<Outcome, Error> {
    let entry = Entry::end(event, &claim);
    let claims = Claims::open(&host.run)?;
    if let Some(worker) = ProcessId::own() {
        claim.worker = worker;
    }
    // If this process is killed, the next release must scrub with the same method.
    claim.scrub = method;
    let from = claim.state.clone();
    claims.advance(&mut claim, State::Releasing)?;
    let sysfs = Sysfs(host.sysfs.clone());
    match scrub(&sysfs, &claim, &from, method) {
        Ok(()) => free(host, &claims, &claim, &entry),
        Err(error) => quarantine(host, &sysfs, &claims, claim, entry, error),
    }
}

/// Writes the audit entry, then removes the claim.
///
/// The entry comes first: if this process is killed in between, the next release writes the entry
/// again. Without any entry the audit log would say that the container still has the VF. An entry
/// that cannot be written does not keep the VF from becoming free.
fn free(host: &Host, claims: &Claims, claim: &Claim, entry: &Entry) -> Result<Outcome, Error> {
    let unrecorded = audit::append_entry(host, entry).err();
    claims.remove(&claim.vf)?;
    fault::point("released").map_err(Error::errno("leave", &claim.vf))?;
    Ok(unrecorded.map_or(Outcome::Clean, |error| Outcome::Unrecorded(error.line())))
}

fn quarantine(
    host: &Host,
    sysfs: &Sysfs,
    claims: &Claims,
    mut claim: Claim,
    mut entry: Entry,
    error: Error,
) -> Result<Outcome, Error> {
    let mut reason = error.line();
    // After a write that hangs, the kernel may hold its network lock, so the next request would
    // hang too. The process that hangs in the write has inherited the PF's lock. `gc` disarms the
    // VF once it can acquire this lock.
    if !matches!(error, Error::Kernel(KernelError::Timeout { .. }))
        && let Some(armed) = disarm(sysfs, &claim)
    {
        reason.push_str("; ");
        reason.push_str(&armed);
    }
    (entry.event, entry.reason) = (Event::Quarantined, Some(reason.clone()));
    // An audit entry that cannot be written is no error here: the claim has the reason.
    let _ = audit::append_entry(host, &entry);
    claims.advance(&mut claim, State::Quarantined { reason: reason.clone() })?;
    Ok(Outcome::Quarantined(reason))
}
