//! Reconcile claims with the host: dead owners, lost VFs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::host::Host;
use crate::kernel::netns_life::Effort;
use crate::ledger::audit;
use crate::ledger::audit::Event;
use crate::ledger::claim::Claim;
use crate::ledger::claims::Claims;
use crate::ledger::error::LedgerError;
use crate::ledger::lock::{LOCK_TIMEOUT, PfLock, SHORT_LOCK_TIMEOUT};
use crate::lifecycle::blind_pf::record_gaps;
use crate::lifecycle::claim_lock::ClaimLock;
use crate::lifecycle::joined::record_joined;
use crate::lifecycle::loss::handle_loss;
use crate::lifecycle::outcome::{Outcome, Released};
use crate::lifecycle::release::{EXIT_TIMEOUT, lock_claim, release_locked};

/// Releases every VF of an abandoned claim: its owner has ended, or its attach or release was
/// killed. Running attaches are safe, because the worker of their claims is alive.
///
/// This is the fast reconcile for use within another command: it skips PFs that are locked, and
/// does not check the VFs of running containers. [`gc`] does both.
///
/// # Errors
/// When the claims cannot be listed.
pub fn reconcile(host: &Host) -> Result<Vec<Released>, Error> {
    // An unreadable claim is skipped: its VF stays claimed, and `runvfctl status` shows the claim.
    let claims = Claims::open(&host.run)?.readable()?;
    Ok(reconcile_claims(host, claims, Duration::ZERO, Duration::MAX))
}

/// How long an attach reconciles before its own work. A scrub takes a second, and a crash may leave
/// a claim on each VF. `gc` does the rest.
pub(crate) const ATTACH_BUDGET: Duration = Duration::from_secs(5);

/// How an attach looks at a claim: it neither searches all descriptors for an owner's network
/// namespace, nor waits for exiting processes. `gc` does both.
const QUICK: (Effort, Duration) = (Effort::Quick, Duration::ZERO);

/// As [`reconcile`], for claims that the caller has just read. `lock_timeout` is how long to wait
/// for the lock of each PF. No release begins after `budget`.
pub(crate) fn reconcile_claims(
    host: &Host,
    claims: Vec<Claim>,
    lock_timeout: Duration,
    budget: Duration,
) -> Vec<Released> {
    let began = Instant::now();
    let mut released = Vec::new();
    for seen in claims {
        if !seen.is_abandoned(Effort::Quick) {
            continue;
        }
        let left = budget.saturating_sub(began.elapsed());
        if left.is_zero() {
            break;
        }
        // A release that has begun may go on after the budget.
        let relock_by = Instant::now() + SHORT_LOCK_TIMEOUT;
        let lock = lock_claim(host, &seen, lock_timeout.min(left), relock_by);
        let Ok(mut lock) = lock else { continue };
        // An error on one claim is ignored, because the other VFs must still be released; this
        // claim stays.
        if let Ok(Some(outcome)) = release_abandoned(host, &seen, &mut lock, QUICK) {
            released.push(Released::of(&seen, outcome));
        }
    }
    released
}

/// Releases abandoned claims of one PF until one VF is free, because the caller needs only one.
/// Returns whether a VF is free. The caller has the PF's lock. No release begins after
/// [`ATTACH_BUDGET`].
pub(crate) fn reconcile_pf(host: &Host, pf: &str, lock: &PfLock) -> bool {
    let Ok(claims) = Claims::open(&host.run).and_then(|claims| claims.readable()) else {
        return false;
    };
    let is_freed = |seen: &Claim| {
        let outcome = ClaimLock::under(&host.run, (&seen.vf, &seen.pf), lock)
            .and_then(|mut lock| release_abandoned(host, seen, &mut lock, QUICK));
        matches!(outcome, Ok(Some(Outcome::Clean | Outcome::Spooled(_) | Outcome::Unrecorded(_))))
    };
    let deadline = Instant::now() + ATTACH_BUDGET;
    let is_abandoned = |seen: &&Claim| seen.pf == pf && seen.is_abandoned(Effort::Quick);
    let abandoned = claims.iter().filter(is_abandoned);
    abandoned.take_while(|_| Instant::now() < deadline).any(is_freed)
}

/// Releases abandoned claims as [`reconcile`] does, but waits for locked PFs and exiting processes.
/// Also checks the VF of every running container, reports claims that cannot be read, and appends
/// spooled audit entries to the log.
///
/// # Errors
/// When the claims cannot be listed. An error on one claim is the outcome for this claim.
pub fn gc(host: &Host) -> Result<Vec<Released>, Error> {
    // An error stays in the log's own finding of `runvfctl doctor`, and the next `gc` tries again.
    let _ = audit::flush_spool(host);
    audit::report_suppressed(host);
    let mut results = Vec::new();
    let mut locked_pfs: Vec<String> = Vec::new();
    let claims = Claims::open(&host.run)?.all()?;
    let pfs: BTreeSet<&str> = claims.iter().flatten().map(|claim| claim.pf.as_str()).collect();
    for pf in pfs {
        // A lock that is held is reported with each claim of its PF. Otherwise the next `gc` tries again.
        let _ = record_gaps(host, pf, None, LOCK_TIMEOUT);
    }
    for claim in claims {
        let seen = match claim {
            Ok(seen) => seen,
            Err(error) => {
                results.push(Released::unreadable(&error));
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
    record_joined(host);
    Ok(results)
}

/// Releases the claim if it is abandoned; otherwise checks the container's VF.
fn gc_claim(host: &Host, seen: &Claim, timeout: Duration) -> Result<Option<Outcome>, Error> {
    let mut lock = lock_claim(host, seen, timeout, Instant::now() + LOCK_TIMEOUT)?;
    match release_abandoned(host, seen, &mut lock, (Effort::Full, EXIT_TIMEOUT))? {
        None => handle_loss(host, seen, &lock),
        outcome => Ok(outcome),
    }
}

/// Releases the claim if it is still `seen` and abandoned. `None`: it is not abandoned.
///
/// The claim is read twice: between a read and the check whether its worker is alive, this worker
/// may write the claim again and exit. After the worker's death the claim on disk is final, so the
/// second read is correct.
pub(super) fn release_abandoned(
    host: &Host,
    seen: &Claim,
    lock: &mut ClaimLock<'_>,
    (effort, exit_timeout): (Effort, Duration),
) -> Result<Option<Outcome>, Error> {
    let claims = Claims::open(&host.run)?;
    for _ in 0..2 {
        match claims.get(&seen.vf) {
            Ok(Some(now)) if now.nonce == seen.nonce && now.is_abandoned(effort) => {}
            _ => return Ok(None),
        }
    }
    release_locked(host, seen, lock, exit_timeout, Event::Released).map(Some)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::ledger::audit::{Entry, append_or_spool, spooled};
    use crate::ledger::claim::tests::claim;
    use crate::ledger::lock::lock_pf_within;
    use crate::lifecycle::repair::repair;

    const VF: &str = "0000:01:10.0";

    #[test]
    fn a_reconcile_ends_with_its_budget() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::with_root(folder.path());
        let pfs = ["0000:01:00.0", "0000:02:00.0", "0000:03:00.0"];
        let _locks = pfs.map(|pf| lock_pf_within(&host.run, pf, Duration::ZERO).unwrap());
        // These claims are of another boot, so they are abandoned.
        let claims = pfs.map(|pf| Claim { pf: pf.to_owned(), ..claim(VF, "n") }).to_vec();
        let budget = Duration::from_millis(300);
        let began = Instant::now();
        assert_eq!(reconcile_claims(&host, claims, LOCK_TIMEOUT, budget), []);
        let took = began.elapsed();
        assert!(took >= budget && took < Duration::from_secs(10), "{took:?}");
    }

    #[test]
    fn gc_appends_spooled_audit_entries() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::with_root(folder.path());
        // A folder in the log's place.
        fs::create_dir_all(&host.audit).unwrap();
        let entry = Entry::end(Event::Released, &claim(VF, "n"));
        append_or_spool(&host, &entry).unwrap();
        gc(&host).unwrap();
        assert_eq!(spooled(&host), 1);
        fs::remove_dir(&host.audit).unwrap();
        gc(&host).unwrap();
        assert_eq!(spooled(&host), 0);
        assert!(fs::read_to_string(&host.audit).unwrap().contains("\"released\""));
    }

    #[test]
    fn gc_and_repair_name_a_claim_of_a_newer_runvf_and_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::with_root(folder.path());
        let path = host.run.join(format!("claims/{VF}.json"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = r#"{"version":9,"vf":"0000:01:10.0","container":"c","interface":"mon0"}"#;
        fs::write(&path, text).unwrap();
        let found = gc(&host).unwrap();
        let [one] = &found[..] else { panic!("{found:?}") };
        assert_eq!((one.vf.as_str(), one.container.as_str()), (VF, "c"));
        assert!(matches!(&one.outcome, Outcome::Unreadable(line) if line.contains("version 9")));

        let is_newer =
            |error: Error| matches!(error, Error::Ledger(LedgerError::NewerClaim { .. }));
        assert!(is_newer(repair(&host, VF).unwrap_err()), "of a VF that vanished");
        let devices = host.sysfs.join("bus/pci/devices");
        for (pci, link, target) in
            [(VF, "physfn", "../0000:01:00.0"), ("0000:01:00.0", "virtfn0", "../0000:01:10.0")]
        {
            fs::create_dir_all(devices.join(pci)).unwrap();
            symlink(target, devices.join(pci).join(link)).unwrap();
        }
        let error = repair(&host, VF).unwrap_err();
        assert!(is_newer(error), "of a VF that exists");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
