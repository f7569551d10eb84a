//! Check the VFs that an event concerns: what `gc` does for all claims, for these only, and without
//! a wait for a carrier, because its return is an event as well.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::error::Error;
use crate::host::Host;
use crate::kernel::netns_life::Effort;
use crate::kernel::process::ProcessId;
use crate::ledger::audit::Event;
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::ledger::lock::{PfLock, SHORT_LOCK_TIMEOUT, lock_pf_within};
use crate::lifecycle::blind_pf::record_gaps;
use crate::lifecycle::blindness::{Manner, Sight};
use crate::lifecycle::loss::{AttachedVf, Inspected, inspect};
use crate::lifecycle::outcome::{Outcome, Released};
use crate::lifecycle::reconcile::release_abandoned;
use crate::lifecycle::release::{lock_claim, release_locked};

/// A VF to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// PCI address.
    pub vf: String,
    /// When the event happened. A gap begins then. `None`: no process has watched the VF, so a gap
    /// begins with the last check.
    pub since: Option<SystemTime>,
}

/// The VFs of one PF that are re-armed at once. A re-arm waits 100 ms for the drivers, and a reset
/// of the PF concerns all its VFs.
const THREADS: usize = 16;

/// How a look decides whether a claim is abandoned. An end of a network namespace is an event of its
/// own: the VF returns to the host netns, which a quick search sees.
const EFFORT: Effort = Effort::Quick;

/// How long an exited container's other processes may take to leave the VF's network namespace.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// Checks these VFs of the PF with this PCI address: releases the VF of an exited container, sets
/// VLAN and trust back, stops the container of a lost VF, and re-arms a VF that may be blind. Turns on
/// again what the VFs need of the PF. A VF without a claim is skipped. The results have no VF without
/// a finding.
///
/// # Errors
/// [`LedgerError::Locked`] when another process holds the PF's lock for longer than `lock_timeout`.
/// An error on one VF is the outcome for this VF. The caller makes no two checks of a PF at once.
///
/// [`LedgerError::Locked`]: crate::LedgerError::Locked
pub fn check(
    host: &Host,
    pf: &str,
    looks: &[Look],
    lock_timeout: Duration,
) -> Result<Vec<Released>, Error> {
    // A lock that is held is the error of the next line. Otherwise `gc` tries again.
    let _ = record_gaps(host, pf, looks.iter().filter_map(|look| look.since).min(), lock_timeout);
    let lock = lock_pf_within(&host.run, pf, lock_timeout)?;
    let claims = Claims::open(&host.run)?;
    let mut results = Vec::new();
    let mut seen = Vec::new();
    for look in looks {
        match claims.get(&look.vf) {
            Ok(Some(claim)) if claim.pf == pf => seen.push((claim, look.since)),
            Ok(_) => {}
            Err(error) => results.push(Released::unreadable(&error)),
        }
    }
    // The sensors that run come first: a release takes a second.
    let (abandoned, running): (Vec<_>, Vec<_>) = seen
        .into_iter()
        .partition(|(claim, _)| claim.is_abandoned(EFFORT) || is_own_release(claim));
    results.extend(check_running(host, running, &lock));
    // A release takes the locks by itself, because it gives the PF's back while a driver is slow.
    drop(lock);
    for (claim, _) in abandoned {
        results.extend(result(&claim, release(host, &claim, lock_timeout)));
    }
    Ok(results)
}

/// Whether this process has begun to release the VF. Its caller makes no two checks of a PF at
/// once, so that release has ended, and has left the claim because it did not get a lock again. The
/// claim names a worker that lives on, so no other process releases the VF.
fn is_own_release(claim: &Claim) -> bool {
    claim.state == State::Releasing && Some(claim.worker) == ProcessId::own()
}

fn release(host: &Host, claim: &Claim, lock_timeout: Duration) -> Result<Option<Outcome>, Error> {
    let relock_by = Instant::now() + SHORT_LOCK_TIMEOUT;
    let mut lock = lock_claim(host, claim, lock_timeout, relock_by)?;
    if is_own_release(claim) {
        return release_locked(host, claim, &mut lock, EXIT_TIMEOUT, Event::Released).map(Some);
    }
    release_abandoned(host, claim, &mut lock, (EFFORT, EXIT_TIMEOUT))
}

fn check_running(
    host: &Host,
    running: Vec<(Claim, Option<SystemTime>)>,
    _lock: &PfLock,
) -> Vec<Released> {
    let mut results = Vec::new();
    let mut attached = Vec::new();
    for (claim, since) in running {
        let manner = Manner { since, carrier_timeout: Duration::ZERO };
        match inspect(host, &claim) {
            Ok(Inspected::Attached(vf)) => attached.push((*vf, manner)),
            Ok(Inspected::Settled(outcome)) => results.extend(result(&claim, Ok(outcome))),
            Err(error) => results.extend(result(&claim, Err(error))),
        }
    }
    for (vf, sight) in check_sights(host, attached) {
        let claim = vf.claim().clone();
        let set_back = vf.set_back().map(|difference| Outcome::SetBack(difference.to_owned()));
        let outcome = sight.and_then(|sight| vf.conclude(host, sight));
        // The VF may be blind until its carrier is back, although its settings are set back.
        if !matches!(outcome, Ok(Some(Outcome::SetBack(_)))) {
            results.extend(result(&claim, Ok(set_back)));
        }
        results.extend(result(&claim, outcome));
    }
    results
}

/// Re-arms the VFs that may be blind, several at once.
fn check_sights(
    host: &Host,
    mut attached: Vec<(AttachedVf, Manner)>,
) -> Vec<(AttachedVf, Result<Sight, Error>)> {
    let share = attached.len().div_ceil(THREADS).max(1);
    let sights: Vec<_> = thread::scope(|scope| {
        let check = |share: &mut [(AttachedVf, Manner)]| -> Vec<_> {
            share.iter_mut().map(|(vf, manner)| vf.check_sight(host, *manner)).collect()
        };
        // The first share runs here, so that a check of one VF makes no thread.
        let mut shares = attached.chunks_mut(share);
        let own = shares.next();
        let others: Vec<_> = shares.map(|share| scope.spawn(move || check(share))).collect();
        let mut sights = own.map(check).unwrap_or_default();
        for other in others {
            // A panic is a bug of the check; it must not be taken for a healthy VF.
            sights.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        sights
    });
    attached.into_iter().map(|(vf, _)| vf).zip(sights).collect()
}

fn result(claim: &Claim, outcome: Result<Option<Outcome>, Error>) -> Option<Released> {
    match outcome {
        Ok(outcome) => outcome.map(|outcome| Released::of(claim, outcome)),
        Err(error) => Some(Released::of(claim, Outcome::Left(error.line()))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::kernel::process::boot_id_with_root;
    use crate::ledger::claim::tests::claim;
    use crate::ledger::error::LedgerError;

    const PF: &str = "0000:01:00.0";
    const VF: &str = "0000:01:10.0";

    fn look(vf: &str) -> Look {
        Look { vf: vf.to_owned(), since: None }
    }

    #[test]
    fn a_vf_without_a_claim_of_this_pf_is_skipped() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::with_root(root.path());
        let other = Claim { pf: "0000:02:00.0".to_owned(), ..claim("0000:02:10.0", "n") };
        assert!(Claims::open(&host.run).unwrap().create(&other).unwrap());
        let looks = [look(VF), look(&other.vf)];
        assert_eq!(check(&host, PF, &looks, Duration::ZERO).unwrap(), []);
        assert!(Claims::open(&host.run).unwrap().is_claimed(&other.vf));
    }

    /// The worker of such a claim lives as long as the monitor, so `gc` leaves it alone.
    #[test]
    fn a_release_that_this_process_has_left_is_finished() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::with_root(root.path());
        let claims = Claims::open(&host.run).unwrap();
        std::fs::create_dir_all(host.sysfs.join("bus/pci/devices")).unwrap();
        let boot_id = boot_id_with_root(Path::new("/")).unwrap();
        let left = |vf, worker| {
            let state = State::Releasing;
            Claim { state, worker, boot_id: boot_id.clone(), ..claim(vf, "n") }
        };
        let own = ProcessId::own().unwrap();
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let worker = ProcessId::of(other.id().cast_signed()).unwrap();
        for claim in [left(VF, own), left("0000:01:10.2", worker)] {
            assert!(claims.create(&claim).unwrap());
        }
        let looks = [look(VF), look("0000:01:10.2")];
        let found = check(&host, PF, &looks, Duration::from_secs(20)).unwrap();
        // The VF does not exist, so it is clean.
        let vfs: Vec<&str> = found.iter().map(|found| found.vf.as_str()).collect();
        assert_eq!(vfs, [VF], "{found:?}");
        assert!(!claims.is_claimed(VF) && claims.is_claimed("0000:01:10.2"), "{found:?}");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_busy_lock_is_an_error_within_the_timeout() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::with_root(root.path());
        let _held = lock_pf_within(&host.run, PF, Duration::ZERO).unwrap();
        let error = check(&host, PF, &[look(VF)], Duration::ZERO).unwrap_err();
        assert!(matches!(error, Error::Ledger(LedgerError::Locked { .. })), "{error:?}");
    }

    #[test]
    fn an_unreadable_claim_is_named_and_the_others_are_checked() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::with_root(root.path());
        let claims = Claims::open(&host.run).unwrap();
        std::fs::write(host.run.join(format!("claims/{VF}.json")), "{").unwrap();
        // Of another boot, so abandoned. Its PF does not exist here.
        let abandoned = claim("0000:01:10.2", "n");
        assert!(claims.create(&abandoned).unwrap());
        let looks = [look(VF), look(&abandoned.vf)];
        let found = check(&host, PF, &looks, Duration::ZERO).unwrap();
        let [bad, other] = &found[..] else { panic!("{found:?}") };
        assert!(matches!(bad.outcome, Outcome::Unreadable(_)), "{bad:?}");
        assert_eq!(other.vf, abandoned.vf);
        let now = claims.get(&abandoned.vf).unwrap().map(|claim| claim.state);
        assert_ne!(now, Some(abandoned.state), "{other:?}");
    }
}
