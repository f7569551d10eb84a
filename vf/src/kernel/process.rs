//! A process, named so that its pid may be used again without harm.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::fault;
use crate::kernel::error::KernelError;
use crate::kernel::proc_file;

/// A pid and when that process started, in clock ticks since boot (field 22 of `proc_pid_stat(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    pub start_time: u64,
}

impl ProcessId {
    /// `None`: there is no such process, or it has ended and only waits to be reaped. One whose first thread has ended while others
    /// run has not.
    pub fn of(pid: i32) -> Option<Self> {
        Self::on(Path::new("/"), pid).ok().flatten()
    }

    /// As [`ProcessId::of`], on the machine whose root is this folder. An error: nobody knows.
    fn on(root: &Path, pid: i32) -> io::Result<Option<Self>> {
        let stat = match proc_file::read(&root.join(format!("proc/{pid}/stat"))) {
            // It may also end between the two calls it takes to read that.
            Err(error) if is_absence(&error) => return Ok(None),
            stat => stat?,
        };
        Ok(start_time(&stat).map(|start_time| Self { pid, start_time }))
    }

    pub fn own() -> Option<Self> {
        Self::of(i32::try_from(std::process::id()).ok()?)
    }

    pub fn is_alive(self) -> bool {
        self.is_alive_on(Path::new("/"))
    }

    /// Whoever cannot be looked at (no memory, no descriptor left) lives: a VF that is taken from a living container is worse than one that
    /// stays with a dead one until somebody looks again.
    pub(crate) fn is_alive_on(self, root: &Path) -> bool {
        Self::on(root, self.pid).map_or(true, |found| found == Some(self))
    }

    /// Sends SIGKILL. One that has ended is no error, and whoever has its pid now is not hit.
    ///
    /// # Errors
    /// [`KernelError::Call`] when the kernel refuses.
    pub(crate) fn kill(self) -> Result<(), Error> {
        let failed = |source| {
            Error::Kernel(KernelError::Call { action: "stop a container whose VF is lost", source })
        };
        // The descriptor first: if the process found after that is the right one, the descriptor stands for it
        // (`pidfd_open(2)`).
        let pid = Pid::from_raw(self.pid).ok_or_else(|| failed(Errno::EINVAL))?;
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            other => other.map_err(|errno| failed(Errno::from_raw(errno.raw_os_error())))?,
        };
        if !self.is_alive() {
            return Ok(());
        }
        fault::point("kill").map_err(failed)?;
        match pidfd_send_signal(&process, Signal::KILL) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => other.map_err(|errno| failed(Errno::from_raw(errno.raw_os_error()))),
        }
    }
}

/// Whether a process is in the cgroup of another, or below it: that is how a container's processes are told, wherever they have gone.
/// A cgroup at the root of its hierarchy tells nothing.
pub(crate) fn is_with(init: i32, pid: i32) -> bool {
    let of = |pid: i32| proc_file::read(Path::new(&format!("/proc/{pid}/cgroup")));
    match (of(init), of(pid)) {
        (Ok(all), Ok(one)) => is_below(&all, &one),
        _ => false,
    }
}

/// By `proc_pid_cgroup(5)`: a line for each hierarchy, with its number, its controllers and the path.
fn is_below(whole: &str, part: &str) -> bool {
    let paths = |text: &'_ str| {
        let lines = text.lines().filter_map(|line| line.rsplit_once(':'));
        lines.map(|(hierarchy, path)| (hierarchy.to_owned(), path.to_owned())).collect::<Vec<_>>()
    };
    let part = paths(part);
    paths(whole).into_iter().filter(|(_, path)| path != "/").any(|(hierarchy, path)| {
        let below = |found: &str| found == path || found.starts_with(&format!("{path}/"));
        part.iter().any(|(of, found)| *of == hierarchy && below(found))
    })
}

fn start_time(stat: &str) -> Option<u64> {
    // The second field is the command's name in parentheses and may hold anything, closing parentheses included.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    let threads: u64 = fields.nth(16)?.parse().ok()?;
    if matches!(state, "X" | "x") || (state == "Z" && threads <= 1) {
        return None;
    }
    fields.nth(1)?.parse().ok()
}

/// Changes at every boot.
///
/// # Errors
/// When it cannot be read. Nothing may stand for it then: a claim with another one is of a boot that is over.
pub(crate) fn boot_id() -> Result<String, Error> {
    boot_id_of(Path::new("/"))
}

pub(crate) fn boot_id_of(root: &Path) -> Result<String, Error> {
    let path = root.join("proc/sys/kernel/random/boot_id");
    let text = proc_file::read(&path).map_err(Error::file("read", &path))?;
    match text.trim() {
        "" => Err(Error::file("read", path)(io::ErrorKind::UnexpectedEof.into())),
        id => Ok(id.to_owned()),
    }
}

/// Whether an error says that something is not there, and not that nobody could look.
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
    fn a_name_full_of_parentheses_hides_nothing() {
        let stat = "7 (a) Z 1 (b)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18 4242 20 21";
        assert_eq!(start_time(stat), Some(4242));
        assert_eq!(start_time("7 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18 4242 20"), None);
        // Two threads: the first has ended.
        assert_eq!(
            start_time("7 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 2 18 4242 20"),
            Some(4242)
        );
        assert_eq!(start_time("nonsense"), None);
    }

    #[test]
    fn a_process_lives_until_it_ends() {
        let own = ProcessId::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessId { start_time: own.start_time + 1, ..own }.is_alive());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = ProcessId::of(child.id() as i32);
        child.wait().unwrap();
        assert!(!id.is_some_and(ProcessId::is_alive));
    }

    #[test]
    fn whoever_cannot_be_looked_at_lives() {
        let root = tempfile::tempdir().unwrap();
        let id = ProcessId { pid: 7, start_time: 1 };
        assert!(!id.is_alive_on(root.path()));
        // To read a folder is refused.
        std::fs::create_dir_all(root.path().join("proc/7/stat")).unwrap();
        assert!(id.is_alive_on(root.path()));
    }

    #[test]
    fn a_process_is_with_those_in_its_cgroup_and_above() {
        let whole = "0::/system.slice/docker-a.scope\n";
        assert!(is_below(whole, "0::/system.slice/docker-a.scope\n"));
        assert!(is_below(whole, "0::/system.slice/docker-a.scope/nested\n"));
        assert!(!is_below(whole, "0::/system.slice/docker-ab.scope\n"));
        assert!(!is_below(whole, "0::/system.slice\n"));
        assert!(!is_below("0::/\n", "0::/\n"));
        let hybrid = "2:pids:/docker/a\n1:name=systemd:/docker/a\n0::/\n";
        assert!(is_below(hybrid, "2:pids:/docker/a\n0::/\n"));
        assert!(!is_below(hybrid, "2:cpu:/docker/a\n0::/\n"));
    }

    #[test]
    fn nothing_stands_for_a_boot_that_cannot_be_told() {
        let root = tempfile::tempdir().unwrap();
        boot_id_of(root.path()).unwrap_err();
        let folder = root.path().join("proc/sys/kernel/random");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("boot_id"), "\n").unwrap();
        boot_id_of(root.path()).unwrap_err();
        std::fs::write(folder.join("boot_id"), "a\n").unwrap();
        assert_eq!(boot_id_of(root.path()).unwrap(), "a");
    }

    #[test]
    fn only_the_very_process_is_killed() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let id = ProcessId::of(child.id() as i32).unwrap();
        ProcessId { start_time: id.start_time + 1, ..id }.kill().unwrap();
        assert!(id.is_alive());
        id.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        id.kill().unwrap();
    }
}
