//! Bounded writes to files of sysfs: a child process writes, because a driver that hangs makes its
//! writer unkillable.

use std::ffi::CString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe};

use crate::error::Error;
use crate::fault;
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

/// Writes in a child process and waits for it no longer than `timeout`. A driver that hangs makes
/// the writing process unkillable, and a container engine waits for this process. A thread would
/// not help, because a process ends only after its last thread.
fn write_bounded(path: &Path, text: &str, timeout: Duration) -> Result<(), Error> {
    let failed = Error::file("write", path);
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
    let (reader, writer) = pipe().map_err(|errno| failed(errno.into()))?;
    // SAFETY: the child calls only async-signal-safe functions (close, open, write, _exit), on
    // memory allocated before the fork.
    match unsafe { fork() }.map_err(|errno| failed(errno.into()))? {
        ForkResult::Child => write_and_exit(&name, text.as_bytes(), writer.into_raw_fd()),
        ForkResult::Parent { child } => {
            drop(writer);
            fault::point("sysfs-wait").map_err(|errno| failed(errno.into()))?;
            let poll_timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, poll_timeout).map_err(|errno| failed(errno.into()))? == 0 {
                let what = format!("writing {}", path.display());
                return Err(Error::Kernel(KernelError::Timeout {
                    what,
                    seconds: timeout.as_secs(),
                }));
            }
            let mut errno = [0; 4];
            let result = fs::File::from(reader).read_exact(&mut errno);
            // An error is ignored: another thread that waits for all children of this process may
            // have reaped this child already.
            let _ = waitpid(child, None);
            let explain_eof = |error: io::Error| match error.kind() {
                kind @ io::ErrorKind::UnexpectedEof => {
                    io::Error::new(kind, "the writing process was killed")
                }
                _ => error,
            };
            result.map_err(explain_eof).map_err(&failed)?;
            match i32::from_ne_bytes(errno) {
                0 => Ok(()),
                errno => Err(failed(io::Error::from_raw_os_error(errno))),
            }
        }
    }
}

/// Runs in the child: writes `text`, sends the errno (0: success) to the parent and exits.
fn write_and_exit(path: &CString, text: &[u8], pipe: i32) -> ! {
    // SAFETY: `path` is zero-terminated, and `text` and `errno` are valid for their lengths. None
    // of these calls allocates or takes a lock that another thread could have held at the fork.
    unsafe {
        // Standard streams are closed, because a program that reads runvf's output to its end would
        // wait for a child that hangs.
        for fd in 0..=2 {
            libc::close(fd);
        }
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        let written = if fd < 0 { -1 } else { libc::write(fd, text.as_ptr().cast(), text.len()) };
        let errno = if written < 0 { Errno::last_raw() } else { 0 };
        libc::write(pipe, errno.to_ne_bytes().as_ptr().cast(), 4);
        libc::_exit(0)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

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
