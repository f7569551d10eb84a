//! What libcontainer's `exec` leaves in the container's folder, once for each process it adds: the socket that told the
//! process to start, and a link to the console's (`tenant_builder.rs`). A health check would fill `/run` with them.
//!
//! Their names are random and known to libcontainer alone, and another `exec` may be using one. So each has a shared lock while it
//! uses such names, and all of them go when somebody can have the lock for itself: the last one does. The lock is on a file, and not
//! on the folder itself, since the process that is added inherits the descriptor (`descriptors.rs`).
//! Whether a socket is open, as `/proc/net/unix` has it, says nothing of one just made: bind(2) makes the name first and enters
//! it into that table afterwards. Trying to connect would start the other's process.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

/// The lock is had alone for as long as it takes to read a folder, unless its holder is stopped there.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

const LOCK_FILE: &str = "exec.lock";

/// While this is there, nobody removes such names from the folder.
pub(crate) struct SocketNames {
    folder: PathBuf,
    /// None if it could not be had: there is no reason in that not to add a process.
    lock: Option<OwnedFd>,
}

impl SocketNames {
    pub(crate) fn hold(folder: &Path) -> Self {
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

    /// Best effort: what stays here goes with the next one, or with the container.
    pub(crate) fn remove(self) {
        let Some(lock) = &self.lock else { return };
        // Whoever asks in vain has lost what it had (flock(2)): of two that end at once, the second gets it.
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

/// libcontainer's processes have inherited the descriptor, and the lock with it.
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
    fn what_another_uses_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["tenant-notify-1.sock", "tenant-tty-1.sock", "notify.sock", "state.json"];
        for name in files {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let left = || fs::read_dir(folder.path()).unwrap().count() - 1;
        let other = SocketNames::hold(folder.path());
        // As a process does that libcontainer starts.
        let inherited = other.lock.as_ref().unwrap().try_clone().unwrap();
        SocketNames::hold(folder.path()).remove();
        assert_eq!(left(), 4);
        other.remove();
        assert_eq!(left(), 2);
        assert!(
            folder.path().join("notify.sock").exists() && folder.path().join("state.json").exists()
        );
        drop(inherited);
    }

    #[test]
    fn a_lock_is_free_when_its_holder_fails() {
        let folder = tempfile::tempdir().unwrap();
        let names = SocketNames::hold(folder.path());
        let inherited = names.lock.as_ref().unwrap().try_clone().unwrap();
        drop(names);
        fs::write(folder.path().join("tenant-notify-1.sock"), "").unwrap();
        SocketNames::hold(folder.path()).remove();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the lock");
        drop(inherited);
    }
}
