//! The end of a process, by its pidfd.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use vf::ProcessId;

use super::readable::readable;

/// Waits until the process has ended. A pidfd is readable once all threads have exited
/// (`pidfd_poll`, `kernel/pid.c`).
///
/// # Errors
/// When the pidfd cannot be opened, for example without free descriptors.
pub(crate) async fn ended(process: ProcessId) -> io::Result<()> {
    let Some(pidfd) = open(process)? else { return Ok(()) };
    let pidfd = readable(pidfd)?;
    pidfd.readable().await.map(drop)
}

/// `None`: the process has ended.
fn open(process: ProcessId) -> io::Result<Option<OwnedFd>> {
    let positive = Some(process.pid).filter(|pid| *pid > 0);
    let Some(pid) = positive.and_then(Pid::from_raw) else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Err(rustix::io::Errno::SRCH) => Ok(None),
        // If the start time matches after the pidfd was opened, the pidfd is of this process.
        opened => Ok(Some(opened?).filter(|_| process.is_alive())),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    fn on_a_runtime<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn the_end_of_a_process_is_seen_although_it_is_a_zombie() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = ProcessId::of(child.id().cast_signed()).unwrap();
        on_a_runtime(async {
            let end = ended(process);
            tokio::pin!(end);
            let waited = tokio::time::timeout(Duration::from_millis(100), &mut end).await;
            assert!(waited.is_err(), "the process lives");
            child.kill().unwrap();
            tokio::time::timeout(Duration::from_secs(20), end).await.unwrap().unwrap();
        });
        child.wait().unwrap();
    }

    #[test]
    fn a_reused_or_absent_pid_has_ended() {
        let own = ProcessId::own().unwrap();
        let others = [
            ProcessId { start_time: own.start_time + 1, ..own },
            ProcessId { pid: i32::MAX, ..own },
            ProcessId { pid: -1, ..own },
            ProcessId { pid: 0, ..own },
        ];
        on_a_runtime(async {
            for process in others {
                ended(process).await.unwrap();
            }
        });
    }
}
