//! Sockets that libcontainer's `exec` leaves in the container's folder. For each added process, one
//! socket that signals the process to start and one link to the console's socket remain
//! (`tenant_builder.rs`). Without a cleanup, a health check would fill `/run` with them.
//!
//! Only libcontainer knows their random names, and another `exec` may still use one. So each `exec`
//! holds a shared lock while it uses such names. An `exec` that gets the exclusive lock, which is the
//! last one, removes them all. The lock is on a file and not on the folder, because the added process
//! inherits the descriptor (`descriptors.rs`).
//!
//! `/proc/net/unix` cannot show whether a socket is in use: bind(2) creates the name first and adds
//! the socket to that table later. A trial connection would start the other `exec`'s process.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

/// An `exec` holds the exclusive lock only while it reads a folder. The timeout is for a holder that
/// was stopped (SIGSTOP) at that time.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

const LOCK_FILE: &str = "exec.lock";

/// Holds the shared lock. While it exists, no other `exec` removes such names from the folder.
pub(crate) struct SocketNames {
    folder: PathBuf,
    /// `None` if runvf could not get the lock. The process is added anyway.
    lock: Option<OwnedFd>,
}

impl SocketNames {
    /// Takes the shared lock.
    pub(crate) fn lock(folder: &Path) -> Self {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock =
            open(folder.join(LOCK_FILE), flags, Mode::RUSR | Mode::WUSR).ok().filter(|file| {
                let deadline = Instant::now() + LOCK_TIMEOUT;
                while flock(file, FlockOperation::NonBlockingLockShared).is_err() {
                    if Instant::now() >= deadline {
                        return false;
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                true
            });
        Self { folder: folder.to_owned(), lock }
    }

    /// Removes the names if no other `exec` holds the lock. The rest goes with the next `exec` or with
    /// the container.
    pub(crate) fn remove(self) {
        let Some(lock) = &self.lock else { return };
        // A failed conversion of a lock releases it (flock(2)). So if two `exec` end at the same time,
        // the second gets the exclusive lock.
        if flock(lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return;
        }
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("tenant-notify-") || name.starts_with("tenant-tty-") {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// The explicit unlock is necessary, because libcontainer's processes have inherited the descriptor
/// and would keep the lock.
impl Drop for SocketNames {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            let _ = flock(lock, FlockOperation::Unlock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_while_another_exec_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["tenant-notify-1.sock", "tenant-tty-1.sock", "notify.sock", "state.json"];
        for name in files {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let left = || fs::read_dir(folder.path()).unwrap().count() - 1;
        let other = SocketNames::lock(folder.path());
        // A process that libcontainer starts inherits the descriptor.
        let inherited = other.lock.as_ref().unwrap().try_clone().unwrap();
        SocketNames::lock(folder.path()).remove();
        assert_eq!(left(), 4);
        other.remove();
        assert_eq!(left(), 2);
        assert!(
            folder.path().join("notify.sock").exists() && folder.path().join("state.json").exists()
        );
        drop(inherited);
    }

    #[test]
    fn drop_releases_an_inherited_lock() {
        let folder = tempfile::tempdir().unwrap();
        let names = SocketNames::lock(folder.path());
        let inherited = names.lock.as_ref().unwrap().try_clone().unwrap();
        drop(names);
        fs::write(folder.path().join("tenant-notify-1.sock"), "").unwrap();
        SocketNames::lock(folder.path()).remove();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the lock file remains");
        drop(inherited);
    }
}
