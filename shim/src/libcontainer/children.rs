//! Child processes of a failed `create`. libcontainer's init process is a child of runvf (`fork.rs`,
//! `container_clone_sibling`) and waits for `start`. If the container's folder is gone, it would wait
//! for ever. This happens under containerd: after a shim was killed, containerd deletes its
//! container, while the runtime that the shim started still runs.
//!
//! The processes are not found by the cgroup that the spec names, because another container, or all
//! processes of the host, may be in that cgroup.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use vf::PidStat;

use crate::container::cgroup_path;
use crate::container::signal;
use crate::error::Error;

/// The same timeout as for the processes of a deleted container (`container/cgroup.rs`).
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// The children that existed when runvf started. A shell that starts a process and then becomes
/// runvf (`collector & exec runvf run sensor`) leaves it such a child.
static EXISTING: OnceLock<Vec<Pid>> = OnceLock::new();

/// Records the existing children. Must be called before runvf starts a process.
///
/// runvf hardly ever has a child at this point. waitid(2) tells that in one call, while the search
/// through `/proc` reads a file of each process of the host.
pub(crate) fn record_existing() {
    EXISTING.get_or_init(|| if has_child() { children_of(Pid::this()) } else { Vec::new() });
}

/// Whether runvf has a child, a zombie or one of another thread included.
fn has_child() -> bool {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, peek | WaitPidFlag::__WALL) != Err(Errno::ECHILD)
}

/// Kills the children that runvf started.
fn kill_started(id: &str) -> Result<(), Error> {
    let mut children = children_of(Pid::this());
    children.retain(|child| !EXISTING.get().is_some_and(|others| others.contains(child)));
    kill_all(id, &children)
}

/// Kills the children of a failed `create`. If that fails too, adds its error to the first one.
pub(crate) fn kill_started_after(id: &str, first: Error) -> Error {
    match kill_started(id) {
        Ok(()) => first,
        Err(then) => first.followed_by(&then),
    }
}

/// Kills children, waits for them, and removes their cgroups if these are empty.
fn kill_all(id: &str, children: &[Pid]) -> Result<(), Error> {
    let cgroups: Vec<_> =
        children.iter().filter_map(|pid| cgroup_path::of_process(pid.as_raw())).collect();
    for child in children {
        // The kernel does not reuse the pid before runvf has waited for the child.
        let _ = signal::send(*child, libc::SIGKILL);
    }
    let deadline = Instant::now() + KILL_TIMEOUT;
    for child in children {
        while matches!(waitpid(*child, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive)) {
            if Instant::now() > deadline {
                return Err(Error::Unkillable {
                    id: id.to_owned(),
                    seconds: KILL_TIMEOUT.as_secs(),
                });
            }
            sleep(Duration::from_millis(5));
        }
    }
    for cgroup in cgroups {
        // This fails if a process is in the cgroup, for example in runvf's own.
        let _ = fs::remove_dir(Path::new("/sys/fs/cgroup").join(cgroup));
    }
    Ok(())
}

/// The children of a process, including zombies. The lists in `/proc/self/task/TID/children` are not
/// used, because some kernels do not have them.
fn children_of(parent: Pid) -> Vec<Pid> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| parent_of(*pid) == Some(parent)).map(Pid::from_raw).collect()
}

fn parent_of(pid: i32) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    PidStat::parse(&stat)?.parent().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn children_are_found_and_killed() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        assert!(has_child() && children_of(Pid::this()).contains(&pid));
        // Only this child, because other tests have children too.
        kill_all("c", &[pid]).unwrap();
        assert!(!children_of(Pid::this()).contains(&pid));
        assert!(child.wait().is_err(), "kill_all has already waited for the child");
    }
}
