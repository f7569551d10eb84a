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

use crate::error::Error;
use crate::signal;
use crate::terminal::Terminal;

/// After the process exists: it would inherit the blocked signals.
pub(crate) fn wait(pid: Pid, mut terminal: Option<Terminal>) -> Result<ExitCode, Error> {
    let action = "wait for the process";
    let signals = signals().map_err(Error::kernel(action))?;
    let mut stdin_open = terminal.is_some();
    loop {
        // First, for the child that ended before its signal could be seen.
        if let Some(code) = reap(pid).map_err(Error::kernel(action))? {
            drain(terminal);
            return Ok(ExitCode::from(code));
        }
        let ready =
            ready(&signals, terminal.as_ref(), stdin_open).map_err(Error::kernel(action))?;
        if let (true, Some(terminal)) = (ready.output, &mut terminal) {
            terminal.copy_out();
        }
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

fn ready(signals: &SignalFd, terminal: Option<&Terminal>, stdin: bool) -> nix::Result<Ready> {
    let input = io::stdin();
    let mut all = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    if let Some(terminal) = terminal {
        all.push(PollFd::new(terminal.master.as_fd(), PollFlags::POLLIN));
        if stdin {
            all.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
    }
    // Bounded: a master that nobody has open is always ready with POLLHUP, and the child's end is looked for first.
    match poll(&mut all, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    let is = |index: usize| all.get(index).is_some_and(|one| one.any().unwrap_or(false));
    Ok(Ready { output: is(1), input: is(2) })
}

fn pass_on(pid: Pid, number: i32, terminal: Option<&Terminal>) {
    match (number, terminal) {
        (libc::SIGCHLD, _) => {}
        (libc::SIGWINCH, Some(terminal)) => terminal.take_size(),
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
