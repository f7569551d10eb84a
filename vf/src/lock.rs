//! One lock per PF. Several drivers refuse admin operations while another is under way, and VFs are chosen, created and
//! scrubbed one at a time on a PF; two PFs proceed side by side.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::Error;

/// Held until dropped. The kernel drops it with its last descriptor: a killed owner holds nothing, unless it was killed while a
/// write of its own hangs in a driver, and then the PF had better stay locked.
pub(crate) struct PfLock(#[expect(dead_code, reason = "held, not used")] Flock<File>);

/// Creating VFs may take two minutes with the lock held; nothing else takes seconds.
const PATIENCE: Duration = Duration::from_secs(150);

/// # Errors
/// [`Error::Locked`] when another process has held it all the while.
pub(crate) fn lock_pf(run: &Path, pf: &str) -> Result<PfLock, Error> {
    lock_pf_within(run, pf, PATIENCE)
}

pub(crate) fn lock_pf_within(run: &Path, pf: &str, patience: Duration) -> Result<PfLock, Error> {
    let folder = run.join("locks");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(Error::file("create", &folder))?;
    let path = folder.join(format!("{pf}.lock"));
    lock(&path, patience)
}

fn lock(path: &Path, patience: Duration) -> Result<PfLock, Error> {
    let failed = Error::file("lock", path);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)
        .map_err(&failed)?;
    let deadline = Instant::now() + patience;
    // A blocking flock cannot be bounded without a signal, and signals belong to whoever called this library.
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(PfLock(lock)),
            Err((_, errno)) if errno != Errno::EWOULDBLOCK => return Err(failed(errno.into())),
            Err(_) if Instant::now() >= deadline => {
                return Err(Error::Locked { path: path.to_owned(), seconds: patience.as_secs() });
            }
            Err((unlocked, _)) => file = unlocked,
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_free_after_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pf.lock");
        let first = lock(&path, Duration::ZERO).unwrap();
        assert!(matches!(lock(&path, Duration::ZERO), Err(Error::Locked { .. })));
        drop(first);
        lock(&path, Duration::ZERO).unwrap();
    }
}
