//! Signals by number or name. nix and libcontainer know no real-time signals, and `docker run --stop-signal RTMIN+3` is
//! what stops a container that runs systemd.

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::error::Error;

pub(crate) fn parse(typed: &str) -> Result<i32, Error> {
    let bad = || Error::BadSignal { signal: typed.to_owned() };
    let last = libc::SIGRTMAX();
    if let Ok(number) = typed.parse::<i32>() {
        // 0 only asks whether the process is there, kill(2).
        return (0..=last).contains(&number).then_some(number).ok_or_else(bad);
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
        return real_time(libc::SIGRTMIN(), offset).ok_or_else(bad);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        return real_time(last, offset).ok_or_else(bad);
    }
    format!("SIG{name}").parse::<Signal>().map(|signal| signal as i32).map_err(|_| bad())
}

/// `RTMIN+3`, `RTMAX-1`, or either alone.
fn real_time(base: i32, offset: &str) -> Option<i32> {
    let offset = match offset {
        "" => 0,
        signed if signed.starts_with(['+', '-']) => signed.parse::<i32>().ok()?,
        _ => return None,
    };
    let number = base.checked_add(offset)?;
    (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number).then_some(number)
}

pub(crate) fn send(pid: Pid, signal: i32) -> Result<(), Errno> {
    // SAFETY: kill(2) takes two numbers and touches no memory of ours.
    Errno::result(unsafe { libc::kill(pid.as_raw(), signal) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for typed in ["15", "TERM", "SIGTERM", "sigterm", "Term"] {
            assert_eq!(parse(typed).unwrap(), 15, "{typed}");
        }
        assert_eq!(parse("0").unwrap(), 0);
        assert_eq!(parse("IOT").unwrap(), libc::SIGABRT);
        assert_eq!(parse("SIGWINCH").unwrap(), libc::SIGWINCH);
    }

    #[test]
    fn real_time_signals() {
        assert_eq!(parse("RTMIN+3").unwrap(), libc::SIGRTMIN() + 3);
        assert_eq!(parse("SIGRTMAX-1").unwrap(), libc::SIGRTMAX() - 1);
        assert_eq!(parse("37").unwrap(), 37);
        for typed in ["RTMIN-1", "RTMAX+1", "RTMIN3", "65", "-1", "", "SIG", "NOPE"] {
            assert!(parse(typed).is_err(), "{typed}");
        }
    }
}
