//! Release: scrub a dead container's VF, verify it, remove the claim.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::fault;
use crate::host::Host;
use crate::kernel::error::KernelError;
use crate::kernel::netns::Netns;
use crate::kernel::netns_life::processes_in;
use crate::kernel::process::ProcessId;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::audit;
use crate::ledger::audit::{Entry, Event, Recorded};
use crate::ledger::claim::{Claim, Owner, State};
use crate::ledger::claims::Claims;
use crate::ledger::error::LedgerError;
use crate::ledger::lock::{LOCK_TIMEOUT, SHORT_LOCK_TIMEOUT};
use crate::lifecycle::blindness::record_open_gap;
use crate::lifecycle::claim_lock::ClaimLock;
use crate::lifecycle::disarm::disarm;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::outcome::{Outcome, Released};
use crate::lifecycle::ownership::foreign_owner;
use crate::lifecycle::scrub::scrub;
use crate::policy::config::Scrub;

/// How long a container's processes may take to exit. The engine kills them before it asks for the
/// release of the container's VFs.
pub(crate) const EXIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a release that has begun may wait for its PF's lock after the time that an engine's
/// release has for all locks. Docker gives a `delete` 30 s (moby `daemon/monitor.go`).
const RELOCK_GRACE: Duration = Duration::from_secs(5);
/// Between two checks whether the owner's processes have exited.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Whether a release waits for the processes of the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Processes {
    /// They must have exited.
    MustBeGone,
    /// They lose the VF.
    MayRun,
}

/// Releases every VF of a container that has exited. A container without claims is no error, so a
/// second call changes nothing.
///
/// VFs of a network namespace stay: [`release_network`] and [`release_by_hand`] release them.
///
/// A failure on one VF is the outcome for this VF; the other VFs are released all the same. An
/// engine waits for this function. All locks together are waited for no longer than
/// [`SHORT_LOCK_TIMEOUT`], and no release begins after that time; `gc` does the rest.
///
/// # Errors
/// Only when the claims cannot be listed.
pub fn release(host: &Host, container: &str) -> Result<Vec<Released>, Error> {
    let is_meant = |claim: &Claim| claim.init.is_some();
    release_within(host, container, is_meant, Processes::MustBeGone, SHORT_LOCK_TIMEOUT)
}

/// As [`release`], for the VF that a container got by an engine's network. The engine disconnects
/// the container, so its processes may still run.
///
/// `netns`: the path of the container's network namespace. The engine may have removed it. Claims
/// of another namespace stay, because the container may have been started again.
///
/// # Errors
/// Only when the claims cannot be listed.
pub fn release_network(
    host: &Host,
    container: &str,
    network: &str,
    netns: &Path,
) -> Result<Vec<Released>, Error> {
    let now = Netns::open(netns).and_then(|netns| netns.record()).ok();
    let is_meant = |claim: &Claim| {
        claim.init.is_none()
            && claim.network.as_deref() == Some(network)
            && now.is_none_or(|now| now.cookie == claim.netns.cookie)
    };
    release_within(host, container, is_meant, Processes::MayRun, SHORT_LOCK_TIMEOUT)
}

/// Whether the container still has a claim on the VF, and processes run in the network namespace of
/// the claim.
///
/// # Errors
/// When the claim cannot be read, or the namespace cannot be searched.
pub fn is_in_use(host: &Host, vf: &str, container: &str) -> Result<bool, Error> {
    match Claims::open(&host.run)?.get(vf)?.filter(|claim| claim.container == container) {
        Some(claim) => Ok(!processes_in(claim.netns)?.is_empty()),
        None => Ok(false),
    }
}

/// As [`release`], also for the VFs of a network namespace without processes.
///
/// # Errors
/// Only when the claims cannot be listed.
pub fn release_by_hand(host: &Host, container: &str) -> Result<Vec<Released>, Error> {
    release_within(host, container, |_| true, Processes::MustBeGone, SHORT_LOCK_TIMEOUT)
}

fn release_within(
    host: &Host,
    container: &str,
    is_meant: impl Fn(&Claim) -> bool,
    processes: Processes,
    timeout: Duration,
) -> Result<Vec<Released>, Error> {
    let deadline = Instant::now() + timeout;
    let (mut claims, mut released) = (Vec::new(), Vec::new());
    for claim in Claims::open(&host.run)?.all()? {
        match claim {
            Ok(claim) if claim.container == container && is_meant(&claim) => claims.push(claim),
            Err(error) if is_newer_claim_of(container, &error) => {
                released.push(Released::unreadable(&error));
            }
            _ => {}
        }
    }
    // The VFs of unlocked PFs come first, so that a locked PF delays none of them.
    let mut locked = Vec::new();
    for claim in claims {
        match release_before(host, &claim, processes, deadline, Duration::ZERO) {
            Err(Error::Ledger(LedgerError::Locked { .. })) => locked.push(claim),
            outcome => released.push(outcome_of(&claim, outcome)),
        }
    }
    for claim in locked {
        let left = deadline.saturating_duration_since(Instant::now());
        let outcome = release_before(host, &claim, processes, deadline, left);
        released.push(outcome_of(&claim, outcome));
    }
    released.sort_by(|one, other| one.vf.cmp(&other.vf));
    Ok(released)
}

fn is_newer_claim_of(id: &str, error: &Error) -> bool {
    matches!(error, Error::Ledger(LedgerError::NewerClaim { container, .. }) if container == id)
}

fn outcome_of(claim: &Claim, outcome: Result<Outcome, Error>) -> Released {
    Released::of(claim, outcome.unwrap_or_else(|error| Outcome::Left(error.line())))
}

/// Releases one VF, unless the deadline is over or a process that must be gone is running.
fn release_before(
    host: &Host,
    claim: &Claim,
    processes: Processes,
    deadline: Instant,
    lock_timeout: Duration,
) -> Result<Outcome, Error> {
    if processes == Processes::MustBeGone
        && let Some(running) = wait_for_exit(claim, deadline)?
    {
        return Ok(running);
    }
    if Instant::now() >= deadline {
        let why = "the PF of another VF was locked, or its release took too long";
        return Ok(Outcome::Left(why.to_owned()));
    }
    let mut lock = lock_claim(host, claim, lock_timeout, deadline + RELOCK_GRACE)?;
    match processes {
        Processes::MustBeGone => release_if_unused(host, claim, &mut lock),
        Processes::MayRun => release_locked(host, claim, &mut lock, EXIT_TIMEOUT, Event::Released),
    }
}

/// Releases one VF, unless a container of its pod has been created before the caller had the locks:
/// see `pod_member::check`.
pub(super) fn release_if_unused(
    host: &Host,
    claim: &Claim,
    lock: &mut ClaimLock<'_>,
) -> Result<Outcome, Error> {
    match still_running(claim)? {
        Some(running) => Ok(running),
        None => release_locked(host, claim, lock, EXIT_TIMEOUT, Event::Released),
    }
}

/// Releases one VF. With `force`, a running container loses it. Without, the container is looked for
/// again after the wait for the PF's lock, because it may have started meanwhile.
///
/// # Errors
/// [`LifecycleError::NoClaim`]; when the claim cannot be read, the PF's lock cannot be acquired, or
/// the VF cannot be inspected.
pub fn release_vf(host: &Host, vf: &str, force: bool) -> Result<Released, Error> {
    let no_claim = || Error::Lifecycle(LifecycleError::NoClaim { vf: vf.to_owned() });
    let claim = Claims::open(&host.run)?.get(vf)?.ok_or_else(no_claim)?;
    let outcome = match (still_running(&claim)?, force) {
        (Some(running), false) => running,
        (Some(_), true) => release_claim(host, &claim, LOCK_TIMEOUT, Event::Forced)?,
        (None, true) => release_claim(host, &claim, LOCK_TIMEOUT, Event::Released)?,
        (None, false) => {
            let mut lock = lock_claim(host, &claim, LOCK_TIMEOUT, Instant::now() + LOCK_TIMEOUT)?;
            release_if_unused(host, &claim, &mut lock)?
        }
    };
    Ok(Released::of(&claim, outcome))
}

/// The outcome if the claim's owner has a running process. `None`: it has none.
fn still_running(claim: &Claim) -> Result<Option<Outcome>, Error> {
    let running = match claim.owner() {
        Owner::Init(init) if init.is_alive() => {
            format!("its container is still running (process {})", init.pid)
        }
        Owner::Init(_) if claim.pod.is_none() => return Ok(None),
        // The containers of a pod use the VF, too. An engine stops them before the sandbox, but a
        // sandbox that crashes is released while they run.
        Owner::Init(_) | Owner::Netns(_) => match processes_in(claim.netns)?.first() {
            Some(pid) => format!("process {pid} is still running in its network namespace"),
            None => return Ok(None),
        },
    };
    Ok(Some(Outcome::Left(running)))
}

/// As [`still_running`], after the processes had time to exit.
fn wait_for_exit(claim: &Claim, deadline: Instant) -> Result<Option<Outcome>, Error> {
    let deadline = deadline.min(Instant::now() + EXIT_TIMEOUT);
    loop {
        match still_running(claim)? {
            Some(_) if Instant::now() < deadline => thread::sleep(POLL_INTERVAL),
            outcome => return Ok(outcome),
        }
    }
}

/// Releases the claim's VF if the claim on disk is still `seen`. A VF in quarantine stays there.
/// `event` is the event of the audit entry if the VF reads back clean.
pub(crate) fn release_claim(
    host: &Host,
    seen: &Claim,
    timeout: Duration,
    event: Event,
) -> Result<Outcome, Error> {
    let relock_by = Instant::now() + timeout.max(SHORT_LOCK_TIMEOUT);
    let mut lock = lock_claim(host, seen, timeout, relock_by)?;
    release_locked(host, seen, &mut lock, EXIT_TIMEOUT, event)
}

/// Acquires the locks for a claim's release.
///
/// # Errors
/// As [`ClaimLock::take`].
pub(crate) fn lock_claim(
    host: &Host,
    claim: &Claim,
    timeout: Duration,
    relock_by: Instant,
) -> Result<ClaimLock<'static>, Error> {
    ClaimLock::take(&host.run, (&claim.vf, &claim.pf), timeout, relock_by)
}

/// As [`release_claim`], for a caller that has the locks. `exit_timeout` is how long the processes
/// in the VF's network namespace may take to exit.
pub(crate) fn release_locked(
    host: &Host,
    seen: &Claim,
    lock: &mut ClaimLock<'_>,
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
    scrub_and_free(host, claim, method, event, lock)
}

/// Scrubs a VF that no container uses, and frees it. A VF that cannot be cleaned is quarantined.
///
/// The PF may stay locked after the VF was unbound. Then the claim stays in the state `releasing`,
/// and counts as abandoned once this process has ended.
pub(crate) fn scrub_and_free(
    host: &Host,
    mut claim: Claim,
    method: Scrub,
    event: Event,
    lock: &mut ClaimLock<'_>,
) -> Result<Outcome, Error> {
    let began = Instant::now();
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
    let scrubbed = scrub(&sysfs, &claim, &from, method, lock);
    let entry = entry.that_took(began);
    match scrubbed {
        Ok(()) => free(host, &claims, &claim, &entry),
        Err(error @ Error::Ledger(LedgerError::Locked { .. })) => Ok(Outcome::Left(error.line())),
        // A quarantine changes the PF and the claim.
        Err(error) if !lock.has_pf() => Ok(Outcome::Left(error.line())),
        Err(error) => quarantine(host, &sysfs, &claims, claim, entry, error),
    }
}

/// Writes the audit entry, then removes the claim.
///
/// The entry comes first: if this process is killed in between, the next release writes the entry
/// again. Without any entry the audit log would say that the container still has the VF. An entry
/// that cannot be written does not keep the VF from becoming free; it goes to the spool.
fn free(host: &Host, claims: &Claims, claim: &Claim, entry: &Entry) -> Result<Outcome, Error> {
    record_open_gap(host, &mut claim.clone());
    let recorded = audit::append_or_spool(host, entry);
    claims.remove(&claim.vf)?;
    fault::point("released").map_err(Error::errno("leave", &claim.vf))?;
    Ok(match recorded {
        Ok(Recorded::InLog) => Outcome::Clean,
        Ok(Recorded::InSpool(error)) => Outcome::Spooled(error.line()),
        Err(error) => Outcome::Unrecorded(error.line()),
    })
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
    // hang too. The process that hangs in the write has inherited the VF's lock. `gc` disarms the
    // VF once it can acquire this lock.
    if !matches!(error, Error::Kernel(KernelError::Timeout { .. }))
        && let Some(armed) = disarm(sysfs, &claim)
    {
        reason.push_str("; ");
        reason.push_str(&armed);
    }
    record_open_gap(host, &mut claim);
    (entry.event, entry.reason) = (Event::Quarantined, Some(reason.clone()));
    // An audit entry that cannot be written is no error here: the claim has the reason.
    let _ = audit::append_or_spool(host, &entry);
    claims.advance(&mut claim, State::Quarantined { reason: reason.clone() })?;
    Ok(Outcome::Quarantined(reason))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ledger::claim::Gap;
    use crate::ledger::claim::tests::claim;
    use crate::ledger::lock::lock_pf_within;

    /// Claims a VF of another PF for container `c`. Its init process does not exist.
    fn claim_vf(host: &Host, pf: &str, vf: &str) {
        let init = Some(ProcessId { pid: i32::MAX, start_time: 1 });
        let claim = Claim { pf: pf.to_owned(), init, ..claim(vf, "n") };
        assert!(Claims::open(&host.run).unwrap().create(&claim).unwrap());
    }

    /// An engine kills a `delete` that takes too long.
    #[test]
    fn locked_pfs_are_waited_for_together_and_not_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::with_root(folder.path());
        let timeout = Duration::from_secs(1);
        let locks: Vec<_> = (1..=4)
            .map(|n| {
                let pf = format!("0000:0{n}:00.0");
                claim_vf(&host, &pf, &format!("0000:0{n}:10.0"));
                lock_pf_within(&host.run, &pf, Duration::ZERO).unwrap()
            })
            .collect();
        // No program of this test holds the lock of this PF, and its VF does not exist.
        claim_vf(&host, "0000:05:00.0", "0000:05:10.0");
        fs::create_dir_all(host.sysfs.join("bus/pci/devices")).unwrap();
        let began = Instant::now();
        let released =
            release_within(&host, "c", |_| true, Processes::MustBeGone, timeout).unwrap();
        let took = began.elapsed();
        assert!(took >= timeout && took < 3 * timeout, "{took:?}");
        let outcomes: Vec<_> = released.iter().map(|one| &one.outcome).collect();
        assert_eq!(outcomes.len(), 5);
        assert!(matches!(outcomes[0], Outcome::Left(why) if why.contains("cannot lock")));
        for left in &outcomes[1..4] {
            let expected = "the PF of another VF was locked, or its release took too long";
            assert!(matches!(left, Outcome::Left(why) if why == expected), "{left:?}");
        }
        assert_eq!(outcomes[4], &Outcome::Clean);
        drop(locks);
        let released = release(&host, "c").unwrap();
        assert!(released.iter().all(|one| one.outcome == Outcome::Clean), "{released:?}");
    }

    /// The container may have exited before a `gc` could re-arm its VF.
    #[test]
    fn a_gap_that_lasts_until_the_release_has_an_audit_entry() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::with_root(folder.path());
        fs::create_dir_all(host.sysfs.join("bus/pci/devices")).unwrap();
        let released = |vf: &str, until: Option<&str>| {
            let since = "2026-01-31T12:00:00.000Z".to_owned();
            let (until, reason) = (until.map(str::to_owned), "its carrier was lost".to_owned());
            let init = Some(ProcessId { pid: i32::MAX, start_time: 1 });
            let gap = Some(Gap { since, until, reason });
            let claim = Claim { init, state: State::Attached, gap, ..claim(vf, "n") };
            assert!(Claims::open(&host.run).unwrap().create(&claim).unwrap());
            assert_eq!(release(&host, "c").unwrap()[0].outcome, Outcome::Clean);
            let all = audit::audit(&host).unwrap().entries;
            let of_vf = all.into_iter().filter(|entry| entry.vf.as_deref() == Some(vf));
            of_vf.collect::<Vec<_>>()
        };
        let entries = released("0000:01:10.0", None);
        let [blind, end] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((blind.event, end.event), (Event::Blind, Event::Released));
        assert_eq!(blind.since.as_deref(), Some("2026-01-31T12:00:00.000Z"));
        assert!(blind.until.is_some());
        assert_eq!(blind.reason.as_deref(), Some("its carrier was lost"));
        // This gap has its entry already.
        let entries = released("0000:01:10.2", Some("2026-01-31T12:01:00.000Z"));
        assert_eq!(entries.iter().map(|entry| entry.event).collect::<Vec<_>>(), [Event::Released]);
    }

    /// A quarantined VF keeps its claim, and a repair releases it days later.
    #[test]
    fn a_gap_that_was_recorded_is_closed_in_the_claim() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::with_root(folder.path());
        let since = "2026-01-31T12:00:00.000Z".to_owned();
        let gap = Some(Gap { since, until: None, reason: "its carrier was lost".to_owned() });
        let mut claim = Claim { gap, ..claim("0000:01:10.0", "n") };
        for _ in 0..2 {
            record_open_gap(&host, &mut claim);
        }
        assert_eq!(audit::audit(&host).unwrap().entries.len(), 1);
        assert_eq!((claim.open_gap(), claim.blind.gaps), (None, 1));
    }

    #[test]
    fn a_claim_of_a_newer_runvf_is_named_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::with_root(folder.path());
        claim_vf(&host, "0000:01:00.0", "0000:01:10.0");
        let path = host.run.join("claims/0000:01:10.0.json");
        let text = fs::read_to_string(&path).unwrap().replace("\"version\": 1", "\"version\": 9");
        fs::write(&path, &text).unwrap();
        let released = release(&host, "c").unwrap();
        let [one] = &released[..] else { panic!("{released:?}") };
        assert_eq!((one.vf.as_str(), one.interface.as_str()), ("0000:01:10.0", "mon0"));
        let complaint = one.complaint().unwrap();
        let expected = "VF 0000:01:10.0 (mon0 of c) was not released and keeps its VLAN: ";
        assert!(complaint.starts_with(expected), "{complaint}");
        assert!(complaint.contains("has version 9"), "{complaint}");
        assert_eq!(release(&host, "another").unwrap(), []);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
