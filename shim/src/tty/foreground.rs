//! Waiting for a process in the foreground: signals go on to it, its terminal is copied, and its end is our exit code,
//! 128 and the signal's number if a signal ended it.

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

use super::terminal::Terminal;
use crate::container::signal;
use crate::error::Error;

/// After the process exists: it would inherit the blocked signals.
pub(crate) fn wait(pid: Pid, mut terminal: Option<Terminal>) -> Result<ExitCode, Error> {
    let action = "wait for the process";
    let signals = signals().map_err(Error::kernel(action))?;
    let mut stdin_open = terminal.is_some();
    // Whether a process has the other end of the terminal. Somebody may have it again.
    let mut in_use = true;
    loop {
        // First, for the child that ended before its signal could be seen.
        if let Some(code) = reap(pid).map_err(Error::kernel(action))? {
            drain(terminal);
            return Ok(ExitCode::from(code));
        }
        let ready = ready(&signals, terminal.as_ref(), stdin_open, in_use);
        let ready = ready.map_err(Error::kernel(action))?;
        in_use = match (ready.output, &mut terminal) {
            (true, Some(terminal)) => terminal.copy_out(),
            _ => true,
        };
        if let (true, Some(terminal)) = (ready.input, &mut terminal) {
            stdin_open = terminal.copy_in();
        }
        while let Ok(Some(info)) = signals.read_signal() {
            pass_on(pid, info.ssi_signo as i32, terminal.as_ref());
        }
    }
}

fn signals() -> nix::Result<SignalFd> {
    let mut set = SigSet::all();
    // Ours, if they ever come: a fault, or a write to a closed stdout, which then is an error of `write`.
    for own in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGPIPE] {
        set.remove(own);
    }
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

struct Ready {
    output: bool,
    input: bool,
}

/// A master whose other end nobody has is always ready, with POLLHUP, and tells nothing: it is asked again after a while.
fn ready(
    signals: &SignalFd,
    terminal: Option<&Terminal>,
    stdin: bool,
    in_use: bool,
) -> nix::Result<Ready> {
    const POLL_INTERVAL_MS: u8 = 100;
    let input = io::stdin();
    let mut all = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    let mut add = |fd| {
        all.push(PollFd::new(fd, PollFlags::POLLIN));
        all.len() - 1
    };
    let output_at = terminal.filter(|_| in_use).map(|terminal| add(terminal.master.as_fd()));
    let input_at = terminal.filter(|_| stdin).map(|_| add(input.as_fd()));
    let bound = if in_use { PollTimeout::NONE } else { PollTimeout::from(POLL_INTERVAL_MS) };
    match poll(&mut all, bound) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    let is = |at: Option<usize>| at.is_some_and(|at| all[at].any().unwrap_or(false));
    Ok(Ready { output: is(output_at), input: is(input_at) })
}

fn pass_on(pid: Pid, number: i32, terminal: Option<&Terminal>) {
    match (number, terminal) {
        (libc::SIGCHLD, _) => {}
        (libc::SIGWINCH, Some(terminal)) => terminal.copy_size(),
        // ESRCH: it ended, which the next round sees.
        _ => drop(signal::send(pid, number)),
    }
}

/// Every child that ended, since a container without a pid namespace leaves its orphans to us; the code if ours did.
fn reap(pid: Pid) -> nix::Result<Option<u8>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(one, code)) if one == pid => return Ok(Some(code as u8)),
            Ok(WaitStatus::Signaled(one, signal, _)) if one == pid => {
                return Ok(Some(128 + signal as u8));
            }
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// What the process wrote right before it ended.
fn drain(terminal: Option<Terminal>) {
    let Some(mut terminal) = terminal else { return };
    loop {
        let mut all = [PollFd::new(terminal.master.as_fd(), PollFlags::POLLIN)];
        // At once: an orphan may keep the terminal open for ever.
        let more = poll(&mut all, PollTimeout::ZERO).unwrap_or(0) > 0;
        if !more || !terminal.copy_out() {
            return;
        }
    }
}
