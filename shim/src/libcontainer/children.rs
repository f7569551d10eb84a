//! What a create that fails has started. libcontainer's init process is a child of ours (`fork.rs`, `container_clone_sibling`), waits
//! for its `start`, and would do so for ever if the container's folder is gone: containerd deletes the container of a shim that was
//! killed, while the runtime that this had started goes on.
//!
//! Not by the cgroup that the spec names: another container may be in it, or the whole host.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::container::cgroup_path;
use crate::container::signal;
use crate::error::Error;

/// As long as a container that is deleted has.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Those of whoever became runvf (`collector & exec runvf run sensor`).
static EXISTING: OnceLock<Vec<Pid>> = OnceLock::new();

/// To be called before anything is started.
pub(crate) fn record_existing() {
    EXISTING.get_or_init(|| of(Pid::this()));
}

/// And their cgroups, if nobody else is in them.
fn kill_started(id: &str) -> Result<(), Error> {
    let mut children = of(Pid::this());
    children.retain(|child| !EXISTING.get().is_some_and(|others| others.contains(child)));
    end_all(id, &children)
}

/// After a `create` that failed; what fails on the way is added to the error that began it.
pub(crate) fn kill_started_after(id: &str, first: Error) -> Error {
    match kill_started(id) {
        Ok(()) => first,
        Err(then) => first.followed_by(&then),
    }
}

fn end_all(id: &str, children: &[Pid]) -> Result<(), Error> {
    let cgroups: Vec<_> =
        children.iter().filter_map(|pid| cgroup_path::of_process(pid.as_raw())).collect();
    for child in children {
        // Nobody else has its number as long as we have not waited for it.
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
        // Fails if a process is in it, as in our own.
        let _ = fs::remove_dir(Path::new("/sys/fs/cgroup").join(cgroup));
    }
    Ok(())
}

/// Those that have ended among them. Each thread has a list of its own in `/proc/self/task`, but not on every kernel.
fn of(parent: Pid) -> Vec<Pid> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| parent_of(*pid) == Some(parent)).map(Pid::from_raw).collect()
}

fn parent_of(pid: i32) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parent_in(&stat)
}

/// Field 4 of proc_pid_stat(5). The second is a name in parentheses, and may have any of them in it.
fn parent_in(stat: &str) -> Option<Pid> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_parent_is_told_whatever_a_process_is_called() {
        assert_eq!(parent_in("7 (a) R 1 (b) S 42 7 7 0"), Some(Pid::from_raw(42)));
        assert_eq!(parent_in("7 (sh"), None);
    }

    #[test]
    fn children_are_found_and_end() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        assert!(of(Pid::this()).contains(&pid));
        // Not all: other tests have theirs.
        end_all("c", &[pid]).unwrap();
        assert!(!of(Pid::this()).contains(&pid));
        assert!(child.wait().is_err(), "it was waited for already");
    }
}
