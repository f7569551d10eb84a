//! Signals by number or name, as runc takes them. nix and libcontainer do not support real-time
//! signals, but a container that runs systemd is stopped by one. Engines pass its number.

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::error::Error;

/// Parses a signal number, or a name with or without `SIG`. An empty text is SIGTERM.
pub(crate) fn parse(typed: &str) -> Result<i32, Error> {
    let unknown = || Error::BadSignal { signal: typed.to_owned() };
    if typed.is_empty() {
        return Ok(libc::SIGTERM);
    }
    if let Ok(number) = typed.parse::<i32>() {
        // Signal 0 only checks whether the process exists, kill(2).
        return (0..=libc::SIGRTMAX()).contains(&number).then_some(number).ok_or_else(unknown);
    }
    let upper = typed.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| unknown())
}

/// Sends a signal. nix's `kill` is not used, because it cannot send real-time signals.
pub(crate) fn send(pid: Pid, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill(2) takes two numbers and accesses no memory of this process.
    Errno::result(unsafe { libc::kill(pid.as_raw(), signal) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_name_or_a_number() {
        for typed in ["15", "TERM", "SIGTERM", "sigterm", "Term"] {
            assert_eq!(parse(typed).unwrap(), 15, "{typed}");
        }
        assert_eq!(parse("0").unwrap(), 0);
        assert_eq!(parse("37").unwrap(), 37);
        assert_eq!(parse("SIGWINCH").unwrap(), libc::SIGWINCH);
    }

    #[test]
    fn no_signal_is_sigterm() {
        assert_eq!(parse("").unwrap(), libc::SIGTERM);
    }

    #[test]
    fn names_that_runc_does_not_know_are_refused() {
        for typed in ["RTMIN+1", "SIGRTMAX", "IOT", "CLD", "POLL", "65", "-1", "SIG", "NOPE"] {
            assert!(parse(typed).is_err(), "{typed}");
        }
    }
}
