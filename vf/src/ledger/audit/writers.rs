//! The lock of the audit log's writers.
//!
//! `gc` appends spooled entries only while no other process writes. A writer that hangs keeps the
//! lock, so the entries of a claim keep their order: its `attached` may still be written after runvf
//! gave up, and the entry of its end is in the spool.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::thread;
use std::time::{Duration, Instant};

use crate::fault;
use crate::host::Host;

/// Between two attempts. Only `gc` makes a writer wait.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
pub(super) enum Role {
    /// Several processes may append at once.
    Writer,
    /// The only process that appends spooled entries.
    Flusher,
}

/// Takes the lock. The kernel releases it when the last descriptor of the open file is closed, so
/// a child that hangs keeps it.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when another process has it for longer than `timeout`.
pub(super) fn lock(host: &Host, role: Role, timeout: Duration) -> io::Result<File> {
    let folder = host.run.join("locks");
    fault::point("audit-lock")?;
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file =
        options.custom_flags(nix::libc::O_NOFOLLOW).open(folder.join("audit-writers.lock"))?;
    let deadline = Instant::now() + timeout;
    loop {
        let locked = match role {
            Role::Writer => file.try_lock_shared(),
            Role::Flusher => file.try_lock(),
        };
        match locked {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                let what = "another process has been writing to it for seconds";
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(POLL_INTERVAL),
        }
    }
}
