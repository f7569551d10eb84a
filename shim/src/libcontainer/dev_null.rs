//! Standard streams that are the host's `/dev/null`. The container's process gets its own
//! `/dev/null` instead, open for reading and writing, as under runc (`reOpenDevNull`).

use std::io;
use std::os::fd::AsFd;

use nix::sys::stat::makedev;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};

/// Replaces the streams. Called in the container's process, inside its root file system. Ignores
/// errors, because the host's device works as well: a container may have no `/dev/null`.
pub(super) fn reopen() {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(own) = open("/dev/null", flags, Mode::empty()) else { return };
    // An image may have another file at this path, or a symlink.
    if !is_null(&own) {
        return;
    }
    if is_null(io::stdin()) {
        let _ = dup2_stdin(&own);
    }
    if is_null(io::stdout()) {
        let _ = dup2_stdout(&own);
    }
    if is_null(io::stderr()) {
        let _ = dup2_stderr(&own);
    }
}

fn is_null(file: impl AsFd) -> bool {
    fstat(file).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice
            && found.st_rdev == makedev(1, 3)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn only_the_null_device_is_null() {
        assert!(is_null(File::open("/dev/null").unwrap()));
        assert!(!is_null(File::open("/dev/zero").unwrap()));
        assert!(!is_null(File::open("/etc/hostname").unwrap()));
    }
}
