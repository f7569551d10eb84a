//! One lock per PF. Several drivers refuse admin operations while another is under way, and VFs are chosen, created and
//! scrubbed one at a time on a PF; two PFs proceed side by side.
//!
//! And one per tenant that may not have more than so many VFs, since those may be of several PFs: it is held while they are
//! counted and the next is claimed. Whoever takes both takes the PF's first, and nobody waits for a PF with a tenant's lock held.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use crate::error::errno_of;
use crate::{Error, fault};

/// Held until its last descriptor is closed, and never unlocked before (`LOCK_UN`, which `nix::fcntl::Flock` does when dropped,
/// would take it from everybody who inherited it). A killed owner holds nothing, unless a write of its own hangs in a driver in
/// a child, given up or not: then the PF stays locked for as long as the kernel is in it.
pub(crate) struct PfLock {
    _held: File,
}

/// As [`PfLock`], of a tenant.
pub(crate) struct TenantLock {
    _held: File,
}

/// Creating VFs may take two minutes with the lock held; nothing else takes seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

/// For giving back what could not be used: the lock may be held by a child of one's own that hangs in a driver.
pub(crate) const IMPATIENCE: Duration = Duration::from_secs(20);

/// # Errors
/// [`Error::Locked`] when another process has held it all the while.
pub(crate) fn lock_pf(run: &Path, pf: &str) -> Result<PfLock, Error> {
    lock_pf_within(run, pf, PATIENCE)
}

pub(crate) fn lock_pf_within(run: &Path, pf: &str, patience: Duration) -> Result<PfLock, Error> {
    Ok(PfLock { _held: lock_named(run, pf, patience)? })
}

/// It is held for as long as it takes to read the claims and to write one.
///
/// # Errors
/// As [`lock_pf`].
pub(crate) fn lock_tenant(run: &Path, tenant: &str) -> Result<TenantLock, Error> {
    Ok(TenantLock { _held: lock_named(run, &format!("tenant-{tenant}"), IMPATIENCE)? })
}

fn lock_named(run: &Path, name: &str, patience: Duration) -> Result<File, Error> {
    let folder = run.join("locks");
    let path = folder.join(format!("{name}.lock"));
    match lock(&path, patience) {
        // The first one since the boot.
        Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(Error::file("create", &folder))?;
            lock(&path, patience)
        }
        locked => locked,
    }
}

fn lock(path: &Path, patience: Duration) -> Result<File, Error> {
    let failed = Error::file("lock", path);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)
        .map_err(&failed)?;
    fault::point("lock").map_err(Error::errno("lock", path))?;
    let locked = match flock(&file, nix::libc::LOCK_NB) {
        Err(Errno::EWOULDBLOCK) if !patience.is_zero() => wait(&file, patience),
        locked => locked,
    };
    match locked {
        Ok(()) => {
            // For whoever waits in vain.
            let _ = file.set_len(0).and_then(|()| file.write_all(name_of_self().as_bytes()));
            Ok(file)
        }
        Err(Errno::EWOULDBLOCK) => {
            let holder = fs::read_to_string(path).unwrap_or_default();
            Err(Error::Locked { path: path.to_owned(), seconds: patience.as_secs(), holder })
        }
        Err(errno) => Err(failed(errno.into())),
    }
}

/// A blocking flock cannot be bounded without a signal, and signals belong to whoever called this library; and a crowd that asks
/// again and again keeps the CPU from whoever has the lock. So a thread blocks. One that is given up lets the lock go as soon as it has it.
fn wait(file: &File, patience: Duration) -> Result<(), Errno> {
    let failed = |error: io::Error| errno_of(&error).unwrap_or(Errno::EIO);
    let waiting = file.try_clone().map_err(failed)?;
    let (tell, told) = mpsc::channel();
    // Set by whoever is first: the thread that has the lock, or the caller who gives it up.
    let settled = Arc::new(AtomicBool::new(false));
    let first = Arc::clone(&settled);
    let wait = move || {
        let locked = loop {
            match flock(&waiting, 0) {
                Err(Errno::EINTR) => {}
                locked => break locked,
            }
        };
        if first.swap(true, Ordering::SeqCst) {
            // It was given up. To close the file is not enough: a child that was forked meanwhile, and hangs in a driver, has it too.
            let _ = flock_as(&waiting, nix::libc::LOCK_UN);
            return;
        }
        // Before the caller knows: with a second descriptor open the lock would outlive the caller's for a moment.
        drop(waiting);
        let _ = tell.send(locked);
    };
    // Its EAGAIN must not pass for a lock that is held.
    thread::Builder::new().name("lock".to_owned()).spawn(wait).map_err(|_| Errno::ENOMEM)?;
    match told.recv_timeout(patience) {
        Ok(locked) => locked,
        // The thread was faster after all, and is about to say so.
        Err(_) if settled.swap(true, Ordering::SeqCst) => {
            told.recv().unwrap_or(Err(Errno::EWOULDBLOCK))
        }
        Err(_) => Err(Errno::EWOULDBLOCK),
    }
}

fn flock(file: &File, how: i32) -> Result<(), Errno> {
    flock_as(file, nix::libc::LOCK_EX | how)
}

fn flock_as(file: &File, how: i32) -> Result<(), Errno> {
    // SAFETY: takes two numbers; the descriptor is open for as long as `file` is borrowed.
    let locked = unsafe { nix::libc::flock(file.as_raw_fd(), how) };
    Errno::result(locked).map(drop)
}

fn name_of_self() -> String {
    let name = nix::sys::prctl::get_name().unwrap_or_default();
    format!("{} (process {})", name.to_string_lossy(), std::process::id())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_lock_is_held_once_and_free_after_its_owner() {
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
    fn who_waits_gets_the_lock_from_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pf.lock");
        let first = lock(&path, Duration::ZERO).unwrap();
        let second = {
            let path = path.clone();
            thread::spawn(move || lock(&path, Duration::from_secs(60)).map(drop))
        };
        // `->` is somebody who waits, and the inode is the number after the device, proc_locks(5).
        let inode = format!(":{} ", fs::metadata(&path).unwrap().ino());
        let waits = |line: &str| line.contains("-> FLOCK") && line.contains(&inode);
        while !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
            assert!(!second.is_finished());
            thread::sleep(Duration::from_millis(1));
        }
        drop(first);
        second.join().unwrap().unwrap();
    }

    #[test]
    fn a_wait_that_was_given_up_locks_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pf.lock");
        let first = lock(&path, Duration::ZERO).unwrap();
        let error = lock(&path, Duration::from_millis(20)).map(drop).unwrap_err();
        assert!(matches!(error, Error::Locked { .. }), "{error:?}");
        drop(first);
        lock(&path, Duration::from_secs(60)).unwrap();
    }

    /// A second descriptor stands for a child that was forked while the lock was waited for.
    #[test]
    fn a_wait_that_was_given_up_leaves_no_lock_with_a_child() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pf.lock");
        let first = lock(&path, Duration::ZERO).unwrap();
        let waiting = OpenOptions::new().write(true).open(&path).unwrap();
        let inherited = waiting.try_clone().unwrap();
        assert_eq!(wait(&waiting, Duration::from_millis(20)), Err(Errno::EWOULDBLOCK));
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
