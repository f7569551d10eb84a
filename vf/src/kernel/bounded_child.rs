//! Runs work that may hang in a child process, and waits for it for a limited time.
//!
//! A process that hangs in the kernel cannot be killed, and a container engine waits for runvf. A
//! thread would not help, because a process ends only after its last thread.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use crate::fault;
use crate::kernel::held_locks::{self, own_thread};

/// The descriptors of the parent that the child keeps. The standard streams are always closed,
/// because a program that reads runvf's output to its end would wait for a child that hangs.
#[derive(Clone, Copy)]
pub(crate) enum Keep<'a> {
    /// All others, among them the lock of the PF, but not the locks of other threads.
    All,
    /// Only this one, or none.
    Only(Option<BorrowedFd<'a>>),
}

/// How the work ended.
pub(crate) enum End {
    /// With this result.
    Result(i32),
    /// It had not ended at the timeout. The child runs on.
    Timeout(Pid),
}

/// Runs `work` in a child process and waits for its end, but no longer than `timeout`. `point` is
/// the fault point while the child runs.
///
/// # Errors
/// When the child cannot be created. [`io::ErrorKind::UnexpectedEof`]: the child was killed.
///
/// # Safety
/// `work` may only make system calls on memory that was allocated before. Another thread may have
/// held a lock, such as that of the allocator, at the moment of the fork.
pub(crate) unsafe fn run(
    point: &'static str,
    keep: Keep<'_>,
    timeout: Duration,
    work: impl FnOnce() -> i32,
) -> io::Result<End> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let thread = own_thread();
    // SAFETY: the child makes only system calls: `work` by the contract of this function, and
    // `end_child`.
    match unsafe { fork() }? {
        ForkResult::Child => {
            close_others(keep, writer.as_raw_fd(), thread);
            let result = work();
            end_child(writer.as_raw_fd(), result)
        }
        ForkResult::Parent { child } => {
            drop(writer);
            fault::point(point)?;
            wait(reader, child, timeout)
        }
    }
}

fn wait(reader: OwnedFd, child: Pid, timeout: Duration) -> io::Result<End> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, because a timeout of 0 ms would make the last millisecond a busy loop.
        let left = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) if Instant::now() >= deadline => return Ok(End::Timeout(child)),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut result = [0; 4];
    let received = File::from(reader).read_exact(&mut result);
    // An error is ignored: another thread that waits for all children of this process may have
    // reaped this child already.
    let _ = waitpid(child, None);
    received.map_err(|error| match error.kind() {
        kind @ io::ErrorKind::UnexpectedEof => {
            io::Error::new(kind, "the writing process was killed")
        }
        _ => error,
    })?;
    Ok(End::Result(i32::from_ne_bytes(result)))
}

/// Takes a child that hangs out of the list of processes once it has ended. Only the monitor lives
/// that long.
pub(crate) fn reap_later(child: Pid) {
    // Without a thread, the child stays a zombie until this process ends.
    let _ = thread::Builder::new().spawn(move || waitpid(child, None));
}

/// Runs in the child: closes the descriptors that it does not keep.
fn close_others(keep: Keep<'_>, pipe: RawFd, thread: u32) {
    let close = |first: RawFd, last: RawFd| {
        if first <= last {
            // SAFETY: the child uses none of these descriptors. The call does not allocate.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    };
    match keep {
        // The pipe may have the number of a standard stream that was closed.
        Keep::All => {
            (0..=2).filter(|fd| *fd != pipe).for_each(|fd| close(fd, fd));
            held_locks::close_others(thread);
        }
        Keep::Only(kept) => {
            let kept = kept.map_or(pipe, |fd| fd.as_raw_fd());
            let (low, high) = (pipe.min(kept), pipe.max(kept));
            close(0, low - 1);
            close(low + 1, high - 1);
            close(high + 1, RawFd::MAX);
        }
    }
}

/// Runs in the child: sends the result to the parent and exits.
fn end_child(pipe: RawFd, result: i32) -> ! {
    // SAFETY: the result is valid for its length, and neither call allocates.
    unsafe {
        libc::write(pipe, result.to_ne_bytes().as_ptr().cast(), 4);
        libc::_exit(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::held_locks::HeldLock;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn the_result_of_the_child_is_returned() {
        // SAFETY: the work makes no call.
        let end = unsafe { run("test", Keep::All, LONG, || 7) }.unwrap();
        assert!(matches!(end, End::Result(7)));
    }

    #[test]
    fn a_child_that_hangs_is_left_at_the_timeout() {
        // SAFETY: the work is one system call.
        let end = unsafe {
            run("test", Keep::All, Duration::from_millis(50), || {
                libc::pause();
                0
            })
        };
        let End::Timeout(child) = end.unwrap() else { panic!("it did not hang") };
        nix::sys::signal::kill(child, nix::sys::signal::SIGKILL).unwrap();
        waitpid(child, None).unwrap();
    }

    /// A child that hangs keeps the lock of its own thread only.
    #[test]
    fn a_child_keeps_no_lock_of_another_thread() {
        let (own, others) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let _own = HeldLock::register(&own);
        let (first, second) = (own.as_raw_fd(), others.as_raw_fd());
        let is_open = |fd: RawFd| {
            // SAFETY: the call takes no pointer.
            i32::from(unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0)
        };
        let run = || {
            let work = || 2 * is_open(first) + is_open(second);
            // SAFETY: the work makes only system calls.
            unsafe { run("test", Keep::All, LONG, work) }.unwrap()
        };
        assert!(matches!(run(), End::Result(3)));
        thread::scope(|scope| {
            let (send, registered) = std::sync::mpsc::channel();
            let (end, is_over) = std::sync::mpsc::channel::<()>();
            let others = &others;
            scope.spawn(move || {
                let _held = HeldLock::register(others);
                send.send(()).unwrap();
                let _ = is_over.recv();
            });
            registered.recv().unwrap();
            assert!(matches!(run(), End::Result(2)));
            drop(end);
        });
    }

    /// A child that hangs must not keep a PF locked.
    #[test]
    fn a_child_keeps_only_the_given_descriptor() {
        let (kept, closed) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let is_open = |fd: RawFd| {
            // SAFETY: the call takes no pointer.
            i32::from(unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0)
        };
        let (first, second) = (kept.as_raw_fd(), closed.as_raw_fd());
        let work = || 4 * is_open(0) + 2 * is_open(first) + is_open(second);
        // SAFETY: the work makes only system calls.
        let end = unsafe { run("test", Keep::Only(Some(kept.as_fd())), LONG, work) }.unwrap();
        assert!(matches!(end, End::Result(2)));
        let lock = tempfile::NamedTempFile::new().unwrap();
        let held = File::open(lock.path()).unwrap();
        held.try_lock().unwrap();
        // SAFETY: the work is one system call.
        let end = unsafe {
            run("test", Keep::Only(None), Duration::from_millis(50), || {
                libc::pause();
                0
            })
        };
        let End::Timeout(child) = end.unwrap() else { panic!("it did not hang") };
        drop(held);
        // Another thread of this test program may have forked a child that keeps the lock for a
        // moment.
        let other = File::open(lock.path()).unwrap();
        let deadline = Instant::now() + LONG;
        while other.try_lock().is_err() {
            assert!(Instant::now() < deadline, "the child that hangs keeps the lock");
            thread::sleep(Duration::from_millis(5));
        }
        nix::sys::signal::kill(child, nix::sys::signal::SIGKILL).unwrap();
        waitpid(child, None).unwrap();
    }
}
