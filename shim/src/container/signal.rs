//! Signals by number or name. nix and libcontainer do not support real-time signals, but a
//! container that runs systemd is stopped by one (`docker run --stop-signal RTMIN+3`).

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::error::Error;

/// Parses a signal number, or a name with or without `SIG`.
pub(crate) fn parse(typed: &str) -> Result<i32, Error> {
    let unknown = || Error::BadSignal { signal: typed.to_owned() };
    let last = libc::SIGRTMAX();
    if let Ok(number) = typed.parse::<i32>() {
        // Signal 0 only checks whether the process exists, kill(2).
        return (0..=last).contains(&number).then_some(number).ok_or_else(unknown);
    }
    let upper = typed.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    match name {
        "IOT" => return Ok(libc::SIGABRT),
        "CLD" => return Ok(libc::SIGCHLD),
        "POLL" => return Ok(libc::SIGPOLL),
        _ => {}
    }
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return real_time(libc::SIGRTMIN(), offset).ok_or_else(unknown);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        return real_time(last, offset).ok_or_else(unknown);
    }
    format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| unknown())
}

/// Adds the offset of `RTMIN+3`, `RTMAX-1`, `RTMIN` or `RTMAX` to its base.
fn real_time(base: i32, offset: &str) -> Option<i32> {
    let offset = match offset {
        "" => 0,
        signed if signed.starts_with(['+', '-']) => signed.parse::<i32>().ok()?,
        _ => return None,
    };
    let number = base.checked_add(offset)?;
    (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number).then_some(number)
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
        assert_eq!(parse("IOT").unwrap(), libc::SIGABRT);
        assert_eq!(parse("SIGWINCH").unwrap(), libc::SIGWINCH);
    }

    #[test]
    fn real_time_signals_are_relative_to_rtmin_and_rtmax() {
        assert_eq!(parse("RTMIN+3").unwrap(), libc::SIGRTMIN() + 3);
        assert_eq!(parse("SIGRTMAX-1").unwrap(), libc::SIGRTMAX() - 1);
        assert_eq!(parse("37").unwrap(), 37);
        for typed in ["RTMIN-1", "RTMAX+1", "RTMIN3", "65", "-1", "", "SIG", "NOPE"] {
            assert!(parse(typed).is_err(), "{typed}");
        }
    }
}
