//! The exits of all child processes.
//!
//! Processes of a container become children of this process when the runtime ends. As long as one
//! of them is a zombie, the init process of its pid namespace cannot end, and `delete` waits for
//! it. So every child is reaped while a command of the runtime runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The exits that were not asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Reaper(RefCell<BTreeMap<i32, WaitStatus>>);

impl Reaper {
    pub(crate) fn reap(&self) {
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let Some(pid) = status.pid() else { break };
            self.0.borrow_mut().insert(pid.as_raw(), status);
        }
    }

    /// The exit of a process, or `None` if it still runs at the end of the time, or was no child.
    pub(crate) fn wait(&self, pid: i32, timeout: Duration) -> Option<WaitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            // In this order, because the process may end in between.
            let exists = Path::new("/proc").join(pid.to_string()).exists();
            self.reap();
            let status = self.0.borrow_mut().remove(&pid);
            if status.is_some() || !exists || Instant::now() >= deadline {
                return status;
            }
            sleep(POLL_INTERVAL);
        }
    }
}

/// The exit as a text.
pub(crate) fn shown(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("exited with {code}"),
        WaitStatus::Signaled(_, signal, _) => format!("killed by {signal}"),
        other => format!("{other:?}"),
    }
}
