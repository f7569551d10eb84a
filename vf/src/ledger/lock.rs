//! Locks: one per PF, and one per tenant with a quota.
//!
//! The PF's lock: several PF drivers refuse an admin operation while another is under way, and VFs are chosen, created and scrubbed one
//! at a time on a PF. Two PFs work side by side.
//!
//! The tenant's lock: the VFs of a tenant with `max` may be on several PFs, so it is held while they are counted and the next one is
//! claimed. A process that needs both takes the PF's lock first and never waits for a PF's lock while it holds a tenant's.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::fault;
use crate::kernel::error::KernelError;
use crate::ledger::error::LedgerError;

/// An flock(2) on a file of the PF, held until the last descriptor of the open file is closed. It is never unlocked explicitly:
/// `LOCK_UN` (which `nix::fcntl::Flock` calls on drop) would also take it from a child that inherited the descriptor.
///
/// A killed process holds nothing, with one exception: a child whose write to sysfs hangs in a driver keeps the PF locked until the
/// kernel returns.
pub(crate) struct PfLock {
    _held: File,
}

/// As [`PfLock`], for a tenant.
pub(crate) struct TenantLock {
    _held: File,
}

/// The longest wait for a PF's lock. Creating VFs may take two minutes with the lock held; nothing else takes seconds.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(150);

/// The wait where a release must not delay its caller: the lock may be held by a child of this process that hangs in a driver.
pub(crate) const SHORT_LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// Between two attempts. flock(2) itself can only wait without a bound, or be interrupted by a signal, and signals belong to the
/// program that calls this library.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// # Errors
/// [`LedgerError::Locked`] when another process holds the lock for longer than [`LOCK_TIMEOUT`].
pub(crate) fn lock_pf(run: &Path, pf: &str) -> Result<PfLock, Error> {
    lock_pf_within(run, pf, LOCK_TIMEOUT)
}

pub(crate) fn lock_pf_within(run: &Path, pf: &str, timeout: Duration) -> Result<PfLock, Error> {
    Ok(PfLock { _held: lock_named(run, pf, timeout)? })
}

/// Callers hold it only while they read the claims and write one.
///
/// # Errors
/// As [`lock_pf`].
pub(crate) fn lock_tenant(run: &Path, tenant: &str) -> Result<TenantLock, Error> {
    Ok(TenantLock { _held: lock_named(run, &format!("tenant-{tenant}"), SHORT_LOCK_TIMEOUT)? })
}

fn lock_named(run: &Path, name: &str, timeout: Duration) -> Result<File, Error> {
    let folder = run.join("locks");
    let path = folder.join(format!("{name}.lock"));
    match lock(&path, timeout) {
        // The first lock since the boot.
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
    // For the error message of a process that waits in vain.
    let _ = file.set_len(0).and_then(|()| file.write_all(own_name().as_bytes()));
    Ok(file)
}

/// Whether the lock was taken within `timeout`; zero means one attempt.
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
        let second = {
            let path = path.clone();
            thread::spawn(move || lock(&path, Duration::from_secs(60)).map(drop))
        };
        thread::sleep(POLL_INTERVAL * 4);
        assert!(!second.is_finished(), "the lock was taken twice");
        drop(first);
        second.join().unwrap().unwrap();
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
    fn a_wait_that_timed_out_leaves_no_lock_with_a_child() {
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

    /// A child stands for a write that hangs in a driver, and that its parent has given up.
    #[test]
    fn a_lock_is_held_as_long_as_a_child_has_it() {
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
