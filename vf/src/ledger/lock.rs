//! Locks: one per PF, one per VF, and one per tenant with a quota.
//!
//! The PF's lock serializes all changes on a PF, because several PF drivers refuse an admin
//! operation while another one runs. It also serializes the choice and creation of VFs, and every
//! change of a claim. Different PFs do not block each other.
//!
//! The VF's lock covers the steps on a claimed VF that need no change on the PF and take tenths of
//! a second: to bind or unbind its driver. They run without the PF's lock, so that the PF can serve
//! other VFs meanwhile. A process takes the VF's lock under the PF's lock, only if it is not held,
//! and never waits for it there. A process that has the VF's lock may wait for the PF's lock. So
//! there is no deadlock, and the lock of a free VF is not held while the PF's lock is.
//!
//! The unbind lock of a PF lets its VFs be unbound one after another: see [`lock_unbind`].
//!
//! The tenant's lock covers the count of a tenant's VFs and the next claim, because the VFs of a
//! tenant with `max` may be on several PFs. A process that needs both locks takes the PF's lock
//! first. It never waits for a PF's lock while it holds a tenant's lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::fault;
use crate::kernel::error::KernelError;
use crate::kernel::held_locks::HeldLock;
use crate::ledger::error::LedgerError;

/// An flock(2) on the lock file of a PF. The kernel releases it when the last descriptor of the
/// open file is closed.
///
/// runvf never unlocks it explicitly: `LOCK_UN` (which `nix::fcntl::Flock` calls on drop) would
/// also release the lock of a child that inherited the descriptor.
///
/// The death of a process releases its lock, with one exception: a child that hangs in a write to
/// sysfs keeps the PF locked until the driver returns.
pub(crate) struct PfLock {
    _held: Held,
}

/// As [`PfLock`], for a VF.
pub(crate) struct VfLock {
    _held: Held,
}

/// As [`PfLock`], for the unbinding of a PF's VFs.
pub(crate) struct UnbindLock {
    _held: Held,
}

/// As [`PfLock`], for a tenant.
pub(crate) struct TenantLock {
    _held: Held,
}

/// As [`PfLock`], for the count of refusals.
pub(crate) struct RefusalsLock {
    _held: Held,
}

/// The lock file. Its holder is named as long as the file is open, and no longer.
struct Held {
    _holder: HeldLock,
    _file: File,
}

/// The longest wait for a PF's lock. The creation of VFs may hold the lock for two minutes; no
/// other operation holds it for seconds.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(150);

/// The longest wait for a lock in a release, which must not delay its caller: `delete` as a whole
/// must end within 20 s, because Docker gives it 30 s. The holder may be a child of this process
/// that hangs in a driver.
pub(crate) const SHORT_LOCK_TIMEOUT: Duration = Duration::from_secs(18);

/// Interval between two attempts. flock(2) has no timeout, and only a signal interrupts it, but
/// signals belong to the program that uses this library. The price of polling: waiting processes
/// get the lock in no particular order, and a shorter interval takes CPU time from the holder when
/// many processes wait.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Locks a PF, given its PCI address.
///
/// # Errors
/// [`LedgerError::Locked`] when another process holds the lock for longer than [`LOCK_TIMEOUT`].
pub(crate) fn lock_pf(run: &Path, pf: &str) -> Result<PfLock, Error> {
    lock_pf_within(run, pf, LOCK_TIMEOUT)
}

/// As [`lock_pf`], with another timeout.
pub(crate) fn lock_pf_within(run: &Path, pf: &str, timeout: Duration) -> Result<PfLock, Error> {
    Ok(PfLock { _held: lock_named(run, pf, timeout)? })
}

/// Locks a VF, given its PCI address, if no other process has locked it. The caller has the PF's
/// lock.
///
/// # Errors
/// [`LedgerError::Locked`] when another process holds the lock.
pub(crate) fn try_lock_vf(run: &Path, vf: &str) -> Result<VfLock, Error> {
    Ok(VfLock { _held: lock_named(run, vf, Duration::ZERO)? })
}

/// Locks the unbinding of a PF's VFs, given the PF's PCI address. The callers have the locks of
/// their VFs, and wait for nothing else while they have this lock.
///
/// i40e resets an unbound VF from a single task. If all VFs were unbound at once, the last of these
/// resets could begin after its VF is clean, or even attached again, and end its promiscuity.
///
/// # Errors
/// As [`lock_pf`], with another timeout.
pub(crate) fn lock_unbind(run: &Path, pf: &str, timeout: Duration) -> Result<UnbindLock, Error> {
    Ok(UnbindLock { _held: lock_named(run, &format!("{pf}.unbind"), timeout)? })
}

/// Locks a tenant, given its name. Callers hold this lock only while they read the claims and write
/// one.
///
/// # Errors
/// As [`lock_pf`].
pub(crate) fn lock_tenant(run: &Path, tenant: &str) -> Result<TenantLock, Error> {
    Ok(TenantLock { _held: lock_named(run, &format!("tenant-{tenant}"), SHORT_LOCK_TIMEOUT)? })
}

/// Locks the count of refusals. Callers hold this lock only while they read and write one file.
///
/// # Errors
/// As [`lock_pf`].
pub(crate) fn lock_refusals(run: &Path) -> Result<RefusalsLock, Error> {
    Ok(RefusalsLock { _held: lock_named(run, "refusals", Duration::from_secs(1))? })
}

fn lock_named(run: &Path, name: &str, timeout: Duration) -> Result<Held, Error> {
    let file = lock_file_named(run, name, timeout)?;
    Ok(Held { _holder: HeldLock::register(&file), _file: file })
}

fn lock_file_named(run: &Path, name: &str, timeout: Duration) -> Result<File, Error> {
    let folder = run.join("locks");
    let path = folder.join(format!("{name}.lock"));
    match lock(&path, timeout) {
        // The folder is missing before the first lock after a boot.
        Err(Error::Kernel(KernelError::File { source, .. }))
            if source.kind() == ErrorKind::NotFound =>
        {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(Error::file("create", &folder))?;
            lock(&path, timeout)
        }
        locked => locked,
    }
}

fn lock(path: &Path, timeout: Duration) -> Result<File, Error> {
    let failed = Error::file("lock", path);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)
        .map_err(&failed)?;
    if !wait(&file, timeout).map_err(failed)? {
        let holder = fs::read_to_string(path).unwrap_or_default();
        let (path, seconds) = (path.to_owned(), timeout.as_secs());
        return Err(Error::Ledger(LedgerError::Locked { path, seconds, holder }));
    }
    // The name is for the error message of a process that waits for this lock until its timeout.
    let _ = file.set_len(0).and_then(|()| file.write_all(own_name().as_bytes()));
    Ok(file)
}

/// Waits for the lock. Returns whether it was taken within `timeout`; zero means one attempt.
fn wait(file: &File, timeout: Duration) -> io::Result<bool> {
    fault::point("lock")?;
    let deadline = Instant::now() + timeout;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                match deadline.checked_duration_since(Instant::now()) {
                    None | Some(Duration::ZERO) => return Ok(false),
                    Some(left) => thread::sleep(left.min(POLL_INTERVAL)),
                }
            }
        }
    }
}

/// The name and pid of this process, for the lock file.
fn own_name() -> String {
    let name = nix::sys::prctl::get_name().unwrap_or_default();
    format!("{} (process {})", name.to_string_lossy(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_exclusive_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pf.lock");
        let first = lock(&path, Duration::ZERO).unwrap();
        let refused = lock(&path, Duration::ZERO).map(drop).unwrap_err().line();
        let holder = format!("(process {})", std::process::id());
        assert!(refused.contains(&holder), "{refused}");
        drop(first);
        lock(&path, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_waiting_thread_gets_the_lock_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pf.lock");
        let first = lock(&path, Duration::ZERO).unwrap();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let second = {
            let path = path.clone();
            thread::spawn(move || {
                ready.send(()).unwrap();
                let began = Instant::now();
                lock(&path, Duration::from_secs(60)).map(|_| began.elapsed())
            })
        };
        is_ready.recv().unwrap();
        thread::sleep(POLL_INTERVAL * 20);
        assert!(!second.is_finished(), "the lock was taken twice");
        drop(first);
        let waited = second.join().unwrap().unwrap();
        assert!(waited >= POLL_INTERVAL, "the second thread never waited: {waited:?}");
    }

    #[test]
    fn a_wait_that_timed_out_leaves_the_lock_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pf.lock");
        let first = lock(&path, Duration::ZERO).unwrap();
        let error = lock(&path, Duration::from_millis(20)).map(drop).unwrap_err();
        assert!(matches!(error, Error::Ledger(LedgerError::Locked { .. })), "{error:?}");
        drop(first);
        lock(&path, Duration::from_secs(60)).unwrap();
    }

    /// The second descriptor stands for a child that was forked during the wait.
    #[test]
    fn a_wait_that_timed_out_leaves_no_lock_to_a_child() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pf.lock");
        let first = lock(&path, Duration::ZERO).unwrap();
        let waiting = OpenOptions::new().write(true).open(&path).unwrap();
        let inherited = waiting.try_clone().unwrap();
        assert!(!wait(&waiting, Duration::from_millis(20)).unwrap());
        drop((waiting, first));
        lock(&path, Duration::from_secs(60)).unwrap();
        drop(inherited);
    }

    /// The second descriptor stands for a child that hangs in a driver after its parent gave up.
    #[test]
    fn a_lock_is_held_while_a_child_has_its_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pf.lock");
        let first = lock(&path, Duration::ZERO).unwrap();
        let inherited = first.try_clone().unwrap();
        drop(first);
        lock(&path, Duration::ZERO).map(drop).unwrap_err();
        drop(inherited);
        lock(&path, Duration::ZERO).unwrap();
    }
}
