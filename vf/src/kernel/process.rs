//! Processes, identified by pid and start time, so that a reused pid is not mistaken for the
//! earlier process.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::fault;
use crate::kernel::error::KernelError;
use crate::kernel::pid_stat::PidStat;
use crate::kernel::proc_file;

/// A pid and the start time of its process, in clock ticks since boot (field 22 of
/// `proc_pid_stat(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    pub start_time: u64,
}

impl ProcessId {
    /// Identifies the process that has this pid now. `None`: there is no such process, or it is a
    /// zombie. A process whose first thread has ended is alive while its other threads run.
    pub fn of(pid: i32) -> Option<Self> {
        Self::read(Path::new("/"), pid).ok().flatten()
    }

    /// As [`ProcessId::of`], with `/proc` below `root`. An error means that it is unknown whether
    /// the process exists.
    fn read(root: &Path, pid: i32) -> io::Result<Option<Self>> {
        let stat = match proc_file::read(&root.join(format!("proc/{pid}/stat"))) {
            // ENOENT; or ESRCH if the process ends between open(2) and read(2).
            Err(error) if is_absence(&error) => return Ok(None),
            stat => stat?,
        };
        let start_time = PidStat::parse(&stat).and_then(PidStat::start_time);
        Ok(start_time.map(|start_time| Self { pid, start_time }))
    }

    /// Identifies the calling process.
    pub fn own() -> Option<Self> {
        Self::of(i32::try_from(std::process::id()).ok()?)
    }

    pub fn is_alive(self) -> bool {
        self.is_alive_with_root(Path::new("/"))
    }

    /// Returns `true` also when `/proc` cannot be read (out of memory or descriptors): taking the
    /// VF of a live container is worse than leaving it with a dead container until the next check.
    pub(crate) fn is_alive_with_root(self, root: &Path) -> bool {
        Self::read(root, self.pid).map_or(true, |found| found == Some(self))
    }

    /// Sends SIGKILL. Succeeds if the process has ended already; a new process with the same pid
    /// does not get the signal.
    ///
    /// # Errors
    /// [`KernelError::Call`] when the kernel refuses.
    pub(crate) fn kill(self) -> Result<(), Error> {
        kill_if(self.pid, || self.is_alive())
    }
}

/// Sends SIGKILL to the process with this pid if `is_meant` says so. Succeeds if there is no such
/// process.
///
/// The pidfd is opened before `is_meant` looks at the pid (`pidfd_open(2)`). If the process ends
/// meanwhile, and a new process gets its pid, the signal does not reach the new one.
///
/// # Errors
/// [`KernelError::Call`] when the kernel refuses.
pub(crate) fn kill_if(pid: i32, is_meant: impl FnOnce() -> bool) -> Result<(), Error> {
    let failed = |source| {
        Error::Kernel(KernelError::Call { action: "kill a container that lost its VF", source })
    };
    let positive = Some(pid).filter(|pid| *pid > 0);
    let pid = positive.and_then(Pid::from_raw).ok_or_else(|| failed(Errno::EINVAL))?;
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        result => result.map_err(|errno| failed(Errno::from_raw(errno.raw_os_error())))?,
    };
    if !is_meant() {
        return Ok(());
    }
    fault::point("kill").map_err(failed)?;
    match pidfd_send_signal(&pidfd, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        result => result.map_err(|errno| failed(Errno::from_raw(errno.raw_os_error()))),
    }
}

/// Whether process `pid` is in the cgroup of process `init` or in a descendant of it. This finds a
/// container's processes, also those that have moved to other namespaces. The root cgroup of a
/// hierarchy is not considered, because it contains every process.
pub(crate) fn is_in_cgroup_of(init: i32, pid: i32) -> bool {
    let cgroups = |pid: i32| proc_file::read(Path::new(&format!("/proc/{pid}/cgroup")));
    match (cgroups(init), cgroups(pid)) {
        (Ok(ancestor), Ok(descendant)) => is_same_or_below(&ancestor, &descendant),
        _ => false,
    }
}

/// Compares two texts of `/proc/PID/cgroup` (`proc_pid_cgroup(5)`): one line for each hierarchy,
/// with its number, its controllers and the path.
fn is_same_or_below(ancestor: &str, descendant: &str) -> bool {
    let paths = |text: &'_ str| {
        let lines = text.lines().filter_map(|line| line.rsplit_once(':'));
        lines.map(|(hierarchy, path)| (hierarchy.to_owned(), path.to_owned())).collect::<Vec<_>>()
    };
    let descendant = paths(descendant);
    paths(ancestor).into_iter().filter(|(_, path)| path != "/").any(|(hierarchy, path)| {
        let below = |found: &str| found == path || found.starts_with(&format!("{path}/"));
        descendant.iter().any(|(other, found)| *other == hierarchy && below(found))
    })
}

/// The id of this boot. It changes at every boot.
///
/// # Errors
/// [`KernelError::File`] when it cannot be read or is empty. There is no fallback value, because a
/// claim with a different boot id counts as a claim of an earlier boot.
pub(crate) fn boot_id() -> Result<String, Error> {
    boot_id_with_root(Path::new("/"))
}

/// As [`boot_id`], with `/proc` below `root`.
pub(crate) fn boot_id_with_root(root: &Path) -> Result<String, Error> {
    let path = root.join("proc/sys/kernel/random/boot_id");
    let text = proc_file::read(&path).map_err(Error::file("read", &path))?;
    match text.trim() {
        "" => Err(Error::file("read", path)(io::ErrorKind::UnexpectedEof.into())),
        id => Ok(id.to_owned()),
    }
}

/// Whether an error means that the object does not exist, and not that it could not be read.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ENOENT | Errno::ESRCH | Errno::ENODEV | Errno::ENOTDIR)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_ends() {
        let own = ProcessId::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessId { start_time: own.start_time + 1, ..own }.is_alive());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = ProcessId::of(child.id() as i32);
        child.wait().unwrap();
        assert!(!id.is_some_and(ProcessId::is_alive));
    }

    #[test]
    fn a_process_counts_as_alive_if_proc_cannot_be_read() {
        let root = tempfile::tempdir().unwrap();
        let id = ProcessId { pid: 7, start_time: 1 };
        assert!(!id.is_alive_with_root(root.path()));
        // read(2) on a directory fails.
        std::fs::create_dir_all(root.path().join("proc/7/stat")).unwrap();
        assert!(id.is_alive_with_root(root.path()));
    }

    #[test]
    fn a_process_is_in_the_cgroups_of_its_ancestors() {
        let scope = "0::/system.slice/docker-a.scope\n";
        assert!(is_same_or_below(scope, "0::/system.slice/docker-a.scope\n"));
        assert!(is_same_or_below(scope, "0::/system.slice/docker-a.scope/nested\n"));
        assert!(!is_same_or_below(scope, "0::/system.slice/docker-ab.scope\n"));
        assert!(!is_same_or_below(scope, "0::/system.slice\n"));
        assert!(!is_same_or_below("0::/\n", "0::/\n"));
        let hybrid = "2:pids:/docker/a\n1:name=systemd:/docker/a\n0::/\n";
        assert!(is_same_or_below(hybrid, "2:pids:/docker/a\n0::/\n"));
        assert!(!is_same_or_below(hybrid, "2:cpu:/docker/a\n0::/\n"));
    }

    #[test]
    fn a_boot_id_that_cannot_be_read_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        boot_id_with_root(root.path()).unwrap_err();
        let folder = root.path().join("proc/sys/kernel/random");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("boot_id"), "\n").unwrap();
        boot_id_with_root(root.path()).unwrap_err();
        std::fs::write(folder.join("boot_id"), "a\n").unwrap();
        assert_eq!(boot_id_with_root(root.path()).unwrap(), "a");
    }

    #[test]
    fn kill_spares_a_process_with_another_start_time() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let id = ProcessId::of(child.id() as i32).unwrap();
        ProcessId { start_time: id.start_time + 1, ..id }.kill().unwrap();
        assert!(id.is_alive());
        id.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        id.kill().unwrap();
    }
}
