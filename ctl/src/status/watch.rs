//! The same again and again, until somebody has seen enough.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use vf::Error;

/// To the upper left corner, and away with what is there: `console_codes(4)`.
const REDRAW: &str = "\x1b[H\x1b[2J";

/// Prints what `look` says, at once and then as often as that. On a terminal it takes the place of what it said before;
/// elsewhere `between` is printed in between. Ends on SIGINT and SIGTERM, and when nobody reads any more.
pub(super) fn every(
    interval: Duration,
    between: &str,
    mut look: impl FnMut() -> Result<String, Error>,
) -> Result<(), Error> {
    // Not by a handler's flag: a signal right before the wait would be seen only after it.
    let stop = stop().map_err(failed)?;
    let terminal = io::stdout().is_terminal();
    let mut before = if terminal { REDRAW } else { "" };
    loop {
        let due = Instant::now() + interval;
        let text = before.to_owned() + &look()?;
        let mut stdout = io::stdout().lock();
        if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
            return Ok(());
        }
        if stopped(&stop, due).map_err(failed)? {
            return Ok(());
        }
        before = if terminal { REDRAW } else { between };
    }
}

fn failed(source: Errno) -> Error {
    Error::Kernel(vf::KernelError::Call { action: "wait for a signal", source })
}

/// Becomes readable with either signal, which from now on does nothing else.
fn stop() -> Result<SignalFd, Errno> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)
}

fn stopped(stop: &SignalFd, due: Instant) -> Result<bool, Errno> {
    let left = due.saturating_duration_since(Instant::now());
    let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    Ok(poll(&mut [PollFd::new(stop.as_fd(), PollFlags::POLLIN)], left)? > 0)
}
