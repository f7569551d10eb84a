//! Waits until a guest has booted.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::qemu::machine::Machine;

/// The kernel's message that the timer of a CPU no longer fires (`kernel/rcu/tree_stall.h`).
///
/// Seen once, in an emulated guest on a busy host. Such a guest hangs in the first half second of
/// its boot, before any program of the project runs, and only a reset helps.
const TIMER_STOPPED: &str = "Possible timer handling issue";

/// If the timer stops in more boots than these, the cause is a different one.
const MAX_RESETS: u32 = 2;

const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Timeout of one attempt to connect to a guest that boots.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Decides after each failed attempt to connect whether to try again.
pub(crate) struct BootWait<'a> {
    machine: &'a Machine,
    deadline: Instant,
    resets_left: u32,
    /// Where the output of the current boot begins in the console.
    boot_start: usize,
}

impl<'a> BootWait<'a> {
    /// For a guest that was just started or is about to be reset, and must be up within `timeout`.
    pub(crate) fn new(machine: &'a Machine, timeout: Duration) -> Self {
        Self {
            machine,
            deadline: Instant::now() + timeout,
            resets_left: MAX_RESETS,
            boot_start: machine.console().len(),
        }
    }

    /// Waits a moment after an attempt to connect that failed with `error`.
    ///
    /// # Errors
    ///
    /// QEMU has exited or the time is over. The error has the end of the console.
    pub(crate) fn retry_or_fail(&mut self, error: &str) -> Result<()> {
        if !self.machine.alive() || Instant::now() >= self.deadline {
            return Err(self.machine.failed(error));
        }
        if self.resets_left > 0 && timer_stopped(&self.machine.console(), self.boot_start) {
            eprintln!("lab: a CPU timer stopped during the guest's boot; resetting the guest");
            self.resets_left -= 1;
            self.machine.reset()?;
            self.boot_start = self.machine.console().len();
        }
        thread::sleep(POLL_INTERVAL);
        Ok(())
    }
}

fn timer_stopped(console: &[u8], boot_start: usize) -> bool {
    let current = console.get(boot_start..).unwrap_or_default();
    String::from_utf8_lossy(current).contains(TIMER_STOPPED)
}

#[cfg(test)]
mod tests {
    use super::timer_stopped;

    #[test]
    fn the_output_of_earlier_boots_is_ignored() {
        let console = b"[  211.8] rcu: \tPossible timer handling issue on cpu=1 timer-softirq=5\n[    0.1] Linux";
        assert!(timer_stopped(console, 0));
        assert!(!timer_stopped(console, 30));
        assert!(!timer_stopped(console, 1000));
        assert!(!timer_stopped(b"rcu: INFO: rcu_preempt self-detected stall on CPU", 0));
    }
}
