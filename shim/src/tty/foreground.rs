//! Waits for a process in the foreground: forwards signals to it, copies its terminal or its streams,
//! and returns its exit code, or 128 plus the signal's number if a signal ended it.

use std::io;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::streams::Streams;
use super::terminal::Terminal;
use crate::container::signal;
use crate::error::Error;

/// Waits for the process `pid`. Must be called after the process was created, because a child
/// inherits the signals that this function blocks.
pub(crate) fn wait(
    pid: Pid,
    mut terminal: Option<Terminal>,
    streams: Option<Streams>,
) -> Result<ExitCode, Error> {
    let action = "wait for the process";
    let signals = block_signals().map_err(Error::kernel(action))?;
    let copies = streams.map(Streams::copy);
    let mut stdin_open = terminal.is_some();
    // Whether a process has the container's end of the terminal open. This can change in both
    // directions.
    let mut in_use = true;
    loop {
        // The loop begins with this check, because the process may have exited before SIGCHLD was
        // blocked.
        if let Some(code) = reap(pid).map_err(Error::kernel(action))? {
            drain(terminal);
            if let Some(copies) = copies {
                copies.finish();
            }
            return Ok(ExitCode::from(code));
        }
        let ready = poll_once(&signals, terminal.as_ref(), stdin_open, in_use);
        let ready = ready.map_err(Error::kernel(action))?;
        in_use = match (ready.output, &mut terminal) {
            (true, Some(terminal)) => terminal.copy_out(),
            _ => true,
        };
        if let (true, Some(terminal)) = (ready.input, &mut terminal) {
            stdin_open = terminal.copy_in();
        }
        while let Ok(Some(info)) = signals.read_signal() {
            forward(pid, info.ssi_signo as i32, terminal.as_ref());
        }
    }
}

/// Blocks the signals that are forwarded, and returns a descriptor to read them.
fn block_signals() -> nix::Result<SignalFd> {
    let mut set = SigSet::all();
    // These signals concern runvf itself: a fault, or a write to a closed stdout, which is then an
    // error of `write`.
    for own in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGPIPE] {
        set.remove(own);
    }
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

struct Ready {
    /// The container wrote to its terminal.
    output: bool,
    /// The user typed.
    input: bool,
}

/// Waits until the terminal, stdin or the signals are ready. If no process has the container's end
/// of the terminal open, the master is always ready with POLLHUP. It is then left out for one poll
/// interval.
fn poll_once(
    signals: &SignalFd,
    terminal: Option<&Terminal>,
    stdin: bool,
    in_use: bool,
) -> nix::Result<Ready> {
    const POLL_INTERVAL_MS: u8 = 100;
    let input = io::stdin();
    let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    let mut add = |fd| {
        fds.push(PollFd::new(fd, PollFlags::POLLIN));
        fds.len() - 1
    };
    let output_index = terminal.filter(|_| in_use).map(|terminal| add(terminal.master.as_fd()));
    let input_index = terminal.filter(|_| stdin).map(|_| add(input.as_fd()));
    let timeout = if in_use { PollTimeout::NONE } else { PollTimeout::from(POLL_INTERVAL_MS) };
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    let is_ready = |index: Option<usize>| index.is_some_and(|at| fds[at].any().unwrap_or(false));
    Ok(Ready { output: is_ready(output_index), input: is_ready(input_index) })
}

fn forward(pid: Pid, number: i32, terminal: Option<&Terminal>) {
    match (number, terminal) {
        (libc::SIGCHLD, _) => {}
        (libc::SIGWINCH, Some(terminal)) => terminal.copy_size(),
        // ESRCH means that the process has exited. The next `reap` returns its exit code.
        _ => drop(signal::send(pid, number)),
    }
}

/// Reaps all children that have exited, and returns the exit code if the process `pid` is one of
/// them. There can be other children: as a subreaper (`engine/create.rs`), runvf inherits the
/// orphans of a container without its own pid namespace.
fn reap(pid: Pid) -> nix::Result<Option<u8>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(child, code)) if child == pid => return Ok(Some(code as u8)),
            Ok(WaitStatus::Signaled(child, signal, _)) if child == pid => {
                return Ok(Some(128 + signal as u8));
            }
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Copies the output that the process wrote before it exited.
fn drain(terminal: Option<Terminal>) {
    let Some(mut terminal) = terminal else { return };
    loop {
        let mut fds = [PollFd::new(terminal.master.as_fd(), PollFlags::POLLIN)];
        // Without waiting, because an orphan may keep the terminal open forever.
        let is_ready = poll(&mut fds, PollTimeout::ZERO).unwrap_or(0) > 0;
        if !is_ready || !terminal.copy_out() {
            return;
        }
    }
}
