//! Closes the host's files before runvf looks for the container's program. If descriptor N is a
//! folder of the host, `/proc/self/fd/N/../..` leads out of the container. The container can use such
//! a path in `process.args`, in a symlink of its image, or in the interpreter line of a script
//! (CVE-2024-21626). libcontainer only marks descriptors close-on-exec, and execve(2) closes those
//! after it has found the program.

use std::fs;
use std::os::fd::{BorrowedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::close;

/// More descriptors than libcontainer opens between [`Descriptors::scan`] and
/// [`Descriptors::close_escapes`]. The kernel assigns the lowest free number.
const FD_MARGIN: RawFd = 64;

/// The range of descriptors that may be open in the container's process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descriptors {
    end: RawFd,
}

impl Descriptors {
    /// Must be called before libcontainer forks, because afterwards the container controls `/proc`.
    pub(crate) fn scan() -> Self {
        let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
        Self { end: numbers.max().unwrap_or_default() + FD_MARGIN }
    }

    /// Closes the descriptors that lead out of the container. Descriptors of the engine
    /// (`--preserve-fds`) stay open. Pipes and sockets also stay open, because they have no path and
    /// libcontainer still needs them; and so does the memfd for errors.
    pub(crate) fn close_escapes(self) {
        for number in 3..self.end {
            if is_escape(number) {
                // The descriptor is open, so an error changes nothing.
                let _ = close(number);
            }
        }
    }
}

/// Whether a close-on-exec descriptor is a folder or a program. libcontainer needs neither at this
/// point.
fn is_escape(number: RawFd) -> bool {
    // SAFETY: the number is not -1. It is used for two queries, which fail with EBADF if it is not
    // open.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let close_on_exec = fcntl(descriptor, FcntlArg::F_GETFD)
        .is_ok_and(|flags| FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC));
    close_on_exec
        && fstat(descriptor).is_ok_and(|found| {
            let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
            let program =
                kind == SFlag::S_IFREG && found.st_mode & 0o111 != 0 && found.st_nlink > 0;
            kind == SFlag::S_IFDIR || program
        })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn only_close_on_exec_folders_and_programs_are_escapes() {
        let folder = tempfile::tempdir().unwrap();
        let plain = File::create(folder.path().join("plain")).unwrap();
        let (reading, _writing) = std::io::pipe().unwrap();
        let escapes = |file: &File| is_escape(file.as_raw_fd());
        let open = |path: &str| File::open(path).unwrap();
        assert!(escapes(&open("/")) && escapes(&open("/bin/true")));
        assert!(!escapes(&plain) && !is_escape(reading.as_raw_fd()));
        assert!(!is_escape(1_000_000));
        // A descriptor from an engine is not close-on-exec.
        let preserved = open("/");
        fcntl(&preserved, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        assert!(!escapes(&preserved));
        assert!(Descriptors::scan().end > preserved.as_raw_fd());
    }
}
