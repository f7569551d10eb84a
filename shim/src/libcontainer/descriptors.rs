//! Nothing of the host's is open any more when the container's program is looked for. `/proc/self/fd/N/../..` leads out of it if
//! N is a folder of the host's, and a path of the container's may say so: `process.args`, a symlink in its image, or the line that
//! names a script's interpreter (CVE-2024-21626). libcontainer only marks descriptors close-on-exec, and execve(2) closes those when it
//! has found the program.

use std::fs;
use std::os::fd::{BorrowedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::close;

/// More than libcontainer opens between here and there. The kernel gives the lowest number that is free.
const FD_MARGIN: RawFd = 64;

/// The numbers that may be open in the container's process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descriptors {
    end: RawFd,
}

impl Descriptors {
    /// Before libcontainer forks: afterwards `/proc` is whatever the container has there.
    pub(crate) fn scan() -> Self {
        let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
        Self { end: numbers.max().unwrap_or_default() + FD_MARGIN }
    }

    /// What the engine hands in (`--preserve-fds`) stays, and so do pipes and sockets, which lead nowhere and which libcontainer
    /// still needs, and the file in memory that errors go to.
    pub(crate) fn close_escapes(self) {
        for number in 3..self.end {
            if is_escape(number) {
                // It was open.
                let _ = close(number);
            }
        }
    }
}

/// A folder, or a program. Of no such thing does libcontainer have need once it asks for the container's program.
fn is_escape(number: RawFd) -> bool {
    // SAFETY: not -1; it is used for two questions, to which EBADF is the answer if it is not open.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let own = fcntl(descriptor, FcntlArg::F_GETFD)
        .is_ok_and(|flags| FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC));
    own && fstat(descriptor).is_ok_and(|found| {
        let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
        let program = kind == SFlag::S_IFREG && found.st_mode & 0o111 != 0 && found.st_nlink > 0;
        kind == SFlag::S_IFDIR || program
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn folders_and_programs_are_ways_out() {
        let folder = tempfile::tempdir().unwrap();
        let plain = File::create(folder.path().join("plain")).unwrap();
        let (reading, _writing) = std::io::pipe().unwrap();
        let way_out = |file: &File| is_escape(file.as_raw_fd());
        let open = |path: &str| File::open(path).unwrap();
        assert!(way_out(&open("/")) && way_out(&open("/bin/true")));
        assert!(!way_out(&plain) && !is_escape(reading.as_raw_fd()));
        assert!(!is_escape(1_000_000));
        // As one is that an engine hands in.
        let preserved = open("/");
        fcntl(&preserved, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        assert!(!way_out(&preserved));
        assert!(Descriptors::scan().end > preserved.as_raw_fd());
    }
}
