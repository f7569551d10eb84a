//! Waiting for a guest to come up.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::qemu::machine::Machine;

/// What the guest's kernel prints when a CPU's timer does not fire any more (`kernel/rcu/tree_stall.h`).
///
/// Seen once, of an emulated guest on a busy host: it then stands in its first half second for ever. Nothing of the project runs by then, and only the reset button helps.
const TIMER_STOPPED: &str = "Possible timer handling issue";

/// More than one such boot after another would be something else.
const RESTARTS: u32 = 2;

/// An attempt to reach it.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(10);

pub(crate) struct Booting<'a> {
    machine: &'a Machine,
    deadline: Instant,
    restarts: u32,
    /// How much of the console is of boots that are over.
    read: usize,
}

impl<'a> Booting<'a> {
    /// A guest that was just powered on or is about to be reset, and must be up within `limit`.
    pub(crate) fn new(machine: &'a Machine, limit: Duration) -> Self {
        Self {
            machine,
            deadline: Instant::now() + limit,
            restarts: RESTARTS,
            read: machine.console().len(),
        }
    }

    /// After an attempt to reach it that ended with `error`: waits a little, or gives up.
    ///
    /// # Errors
    ///
    /// With the console's tail: QEMU ended, or the limit is over.
    pub(crate) fn go_on(&mut self, error: &str) -> Result<()> {
        if !self.machine.alive() || Instant::now() >= self.deadline {
            return Err(self.machine.failed(error));
        }
        if self.restarts > 0 && stopped(&self.machine.console(), self.read) {
            eprintln!("lab: the emulator stopped a timer of the booting guest; it is reset");
            self.restarts -= 1;
            self.machine.reset()?;
            self.read = self.machine.console().len();
        }
        thread::sleep(Duration::from_millis(200));
        Ok(())
    }
}

fn stopped(console: &[u8], read: usize) -> bool {
    let new = console.get(read..).unwrap_or_default();
    String::from_utf8_lossy(new).contains(TIMER_STOPPED)
}

#[cfg(test)]
mod tests {
    use super::stopped;

    #[test]
    fn only_the_boot_at_hand_is_looked_at() {
        let console = b"[  211.8] rcu: \tPossible timer handling issue on cpu=1 timer-softirq=5\n[    0.1] Linux";
        assert!(stopped(console, 0));
        assert!(!stopped(console, 30));
        assert!(!stopped(console, 1000));
        assert!(!stopped(b"rcu: INFO: rcu_preempt self-detected stall on CPU", 0));
    }
}
