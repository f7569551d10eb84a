//! Bounded writes to files of sysfs: a child process writes, because a driver that hangs makes its
//! writer unkillable.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use crate::error::Error;
use crate::fault;
use crate::kernel::bounded_child::{self, End, Keep};
use crate::kernel::error::KernelError;

/// As [`write_bounded`], with up to two retries if the child process was killed (by the OOM killer,
/// for example). Does not retry if `done` says that the write took effect.
pub(super) fn write_with_retry(
    point: &'static str,
    path: &Path,
    text: &str,
    timeout: Duration,
    done: impl Fn() -> bool,
) -> Result<(), Error> {
    if fault::lie(point).map_err(Error::errno("write", path))? {
        return Ok(());
    }
    let mut retries = 2;
    loop {
        match write_bounded(path, text, timeout) {
            Err(Error::Kernel(KernelError::File { source, .. }))
                if retries > 0 && source.kind() == io::ErrorKind::UnexpectedEof =>
            {
                if done() {
                    return Ok(());
                }
                retries -= 1;
            }
            result => return result,
        }
    }
}

/// Writes in a child process and waits for it no longer than `timeout`. The child keeps the locks of
/// the VF and the PF, because the driver works on them until the write returns.
fn write_bounded(path: &Path, text: &str, timeout: Duration) -> Result<(), Error> {
    let failed = Error::file("write", path);
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
    // SAFETY: `write` makes only system calls, on memory that was allocated before.
    let end = unsafe {
        bounded_child::run("sysfs-wait", Keep::All, timeout, || write(&name, text.as_bytes()))
    };
    match end.map_err(&failed)? {
        End::Result(0) => Ok(()),
        End::Result(errno) => Err(failed(io::Error::from_raw_os_error(errno))),
        End::Timeout(child) => {
            bounded_child::reap_later(child);
            let (what, seconds) = (format!("writing {}", path.display()), timeout.as_secs());
            Err(Error::Kernel(KernelError::Timeout { what, seconds }))
        }
    }
}

/// Runs in the child: writes `text` to a file. Returns the errno, or 0.
fn write(path: &CString, text: &[u8]) -> i32 {
    // SAFETY: `path` is zero-terminated, and `text` is valid for its length. Neither call allocates
    // or takes a lock that another thread could have held at the fork.
    let written = unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 { -1 } else { libc::write(fd, text.as_ptr().cast(), text.len()) }
    };
    if written < 0 { Errno::last_raw() } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::thread;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn a_bounded_write_writes_the_file_and_reports_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        write_bounded(&path, "7", Duration::from_secs(10)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "7");
        let missing = folder.path().join("none");
        let error = write_bounded(&missing, "7", Duration::from_secs(10)).unwrap_err();
        assert_eq!(
            error.line(),
            format!("cannot write {}: No such file or directory (os error 2)", missing.display())
        );
    }

    /// Returns the first byte that a writer writes to a FIFO. Waits up to 20 s for the writer.
    fn first_byte(fifo: &Path) -> u8 {
        let mut file = fs::OpenOptions::new().read(true).write(true).open(fifo).unwrap();
        let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        assert_eq!(
            poll(&mut fds, PollTimeout::from(20_000_u16)),
            Ok(1),
            "no process writes to the FIFO"
        );
        let mut written = [0];
        file.read_exact(&mut written).unwrap();
        written[0]
    }

    /// The children of a thread of this process (`/proc/PID/task/TID/children`, proc(5)).
    fn children(thread: nix::unistd::Pid) -> Vec<i32> {
        let text = fs::read_to_string(format!("/proc/self/task/{thread}/children")).unwrap();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    #[test]
    fn a_write_is_repeated_if_its_child_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let fifo = path.clone();
        let worker = thread::spawn(move || {
            sender.send(nix::unistd::gettid()).unwrap();
            write_with_retry("probe", &fifo, "7", Duration::from_secs(20), || false)
        });
        let thread_id = receiver.recv().unwrap();
        let first = loop {
            assert!(!worker.is_finished());
            match children(thread_id).first() {
                Some(pid) => break *pid,
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::SIGKILL)
            .unwrap();
        while children(thread_id).contains(&first) {
            assert!(!worker.is_finished());
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(first_byte(&path), b'7');
        worker.join().unwrap().unwrap();
    }

    #[test]
    fn a_write_that_hangs_times_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        // Opening a FIFO without a reader blocks, as a hanging driver does.
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = write_bounded(&path, "7", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, Error::Kernel(KernelError::Timeout { .. })), "{error:?}");
        // Lets the child finish: it may not have opened the FIFO yet.
        assert_eq!(first_byte(&path), b'7');
    }
}
