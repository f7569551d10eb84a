//! File locks between processes.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use crate::error::{Error, Result, at};

const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Locks the file at `path`, which is created if it does not exist.
///
/// It polls because flock(2) has no timeout.
///
/// # Errors
///
/// [`Error::Timeout`]: another process held the lock for longer than `timeout`.
pub(crate) fn lock(path: &Path, timeout: Duration) -> Result<Flock<File>> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(lock) = try_lock(path)? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            let what = format!("waiting for the lock {}", path.display());
            return Err(Error::Timeout { what, after: timeout, so_far: String::new() });
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Locks the file at `path`, or returns `None` if another process holds the lock.
pub(crate) fn try_lock(path: &Path) -> Result<Option<Flock<File>>> {
    let file =
        File::options().create(true).truncate(false).write(true).open(path).map_err(at(path))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(at(path)(errno.into())),
    }
}
