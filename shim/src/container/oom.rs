//! That the kernel killed a process of a container for its memory limit: `oom_kill` in the cgroup's `memory.events`, which
//! the kernel also announces as a change of that file (`Documentation/admin-guide/cgroup-v2.rst`).

use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::error::Error;

pub(crate) struct OomWatch {
    inotify: Inotify,
    file: PathBuf,
    /// How many kills are told.
    told: u64,
}

impl OomWatch {
    /// Kills from now on. Where the file is not there, as without a memory controller, there are none.
    pub(crate) fn new(cgroup: &Path) -> Result<Self, Error> {
        let file = cgroup.join("memory.events");
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(Error::kernel("watch a cgroup"))?;
        let _ = inotify.add_watch(&file, AddWatchFlags::IN_MODIFY);
        let told = kills(&file);
        Ok(Self { inotify, file, told })
    }

    /// Returns true once for each kill, as soon as it is known, and false at the deadline.
    pub(crate) fn killed_before(&mut self, deadline: Instant) -> Result<bool, Error> {
        loop {
            if kills(&self.file) > self.told {
                self.told += 1;
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            // Rounded up, or the last millisecond would be spent without pause.
            let left = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            let mut fds = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, left) {
                // What changed is in the file; that it changed is all that is to be read here.
                Ok(_) => drop(self.inotify.read_events()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::kernel("watch a cgroup")(errno)),
            }
        }
    }
}

fn kills(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_kill_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("memory.events");
        fs::write(&file, "low 0\noom 5\noom_kill 3\noom_group_kill 9\n").unwrap();
        let mut watch = OomWatch::new(folder.path()).unwrap();
        let soon = || Instant::now() + Duration::from_millis(20);
        assert!(!watch.killed_before(soon()).unwrap());
        fs::write(&file, "oom_kill 5\n").unwrap();
        // Long before this deadline.
        let late = Instant::now() + Duration::from_secs(3600);
        assert!(watch.killed_before(late).unwrap() && watch.killed_before(late).unwrap());
        assert!(!watch.killed_before(soon()).unwrap());
        fs::remove_file(&file).unwrap();
        assert!(!watch.killed_before(soon()).unwrap());
    }
}
