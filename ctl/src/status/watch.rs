//! Prints a text at an interval, until a signal.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use vf::Error;

/// Moves the cursor to the upper left corner and clears the screen: console_codes(4).
const REDRAW: &str = "\x1b[H\x1b[2J";

/// Prints the result of `render` now and at every interval. A terminal is cleared before each text;
/// otherwise `separator` is printed between two texts. Returns on SIGINT and SIGTERM, and when
/// stdout is closed.
pub(super) fn every(
    interval: Duration,
    separator: &str,
    mut render: impl FnMut() -> Result<String, Error>,
) -> Result<(), Error> {
    // A signalfd, not a handler that sets a flag: the wait would not notice a signal that came just
    // before it.
    let stop = stop_signals().map_err(failed)?;
    let is_terminal = io::stdout().is_terminal();
    let mut before = if is_terminal { REDRAW } else { "" };
    loop {
        let due = Instant::now() + interval;
        let text = before.to_owned() + &render()?;
        let mut stdout = io::stdout().lock();
        if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
            return Ok(());
        }
        if wait_for_stop(&stop, due).map_err(failed)? {
            return Ok(());
        }
        before = if is_terminal { REDRAW } else { separator };
    }
}

fn failed(source: Errno) -> Error {
    Error::Kernel(vf::KernelError::Call { action: "wait for a signal", source })
}

/// A descriptor that becomes readable on either signal. The signals no longer end the process.
fn stop_signals() -> Result<SignalFd, Errno> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)
}

/// Waits until `due`; returns whether a signal came.
fn wait_for_stop(stop: &SignalFd, due: Instant) -> Result<bool, Errno> {
    let left = due.saturating_duration_since(Instant::now());
    let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    Ok(poll(&mut [PollFd::new(stop.as_fd(), PollFlags::POLLIN)], left)? > 0)
}
