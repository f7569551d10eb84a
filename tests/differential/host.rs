//! The host's state that a container must not change.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::outcome::Line;

/// Where runtimes keep state, besides the folder of their option `--root`.
const STATE_FOLDERS: [&str; 4] = ["/run/runc", "/run/crun", "/run/runvf", "/run/systemd/transient"];
/// Locks and folders that runvf keeps by design. What is in the folders is state.
const STAYS: [&str; 5] = [".lock", "/nothing", "/stages", "/locks", "/containers"];
const CGROUPS: &str = "/sys/fs/cgroup";
const SETTINGS: [&str; 7] = [
    "kernel/hostname",
    "kernel/domainname",
    "kernel/msgmax",
    "kernel/shm_rmid_forced",
    "net/ipv4/ip_forward",
    "vm/swappiness",
    "kernel/core_pattern",
];

/// Lines that describe the host. The changes of a case are the lines that disappear and appear.
#[derive(Debug)]
pub(crate) struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// `folder` is the folder of the session.
    pub(crate) fn take(folder: &Path) -> Self {
        let mut lines = BTreeSet::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mounts: Vec<Line> = crate::report::mounts(mounts.lines());
        lines.extend(mounts.iter().map(|line| format!("{} {}", line.key, line.value)));
        list(Path::new(CGROUPS), 6, &|path| path.is_dir(), &mut lines);
        for state in STATE_FOLDERS {
            let is_state =
                |path: &Path| !STAYS.iter().any(|end| path.to_string_lossy().ends_with(end));
            list(Path::new(state), 3, &is_state, &mut lines);
        }
        list(Path::new("/dev"), 0, &|_| true, &mut lines);
        list(Path::new("/"), 0, &|_| true, &mut lines);
        for name in ["state", "bundle"] {
            // The root file system is compared in full; the log of the hooks is this program's.
            let is_other = |path: &Path| {
                let path = path.to_string_lossy();
                !path.contains("/rootfs") && !path.ends_with("/hooks.log")
            };
            list(&folder.join(name), 2, &is_other, &mut lines);
        }
        for name in SETTINGS {
            let value = fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
            lines.insert(format!("setting {name} = {}", value.trim()));
        }
        lines.extend(children());
        Self(lines)
    }

    pub(crate) fn changes(&self, after: &Self) -> Vec<Line> {
        let gone = self.0.difference(&after.0).map(|line| Line::new(line, "disappeared"));
        let new = after.0.difference(&self.0).map(|line| Line::new(line, "appeared"));
        gone.chain(new).collect()
    }
}

fn list(folder: &Path, depth: u32, wanted: &dyn Fn(&Path) -> bool, lines: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&path, depth - 1, wanted, lines);
        }
        if wanted(&path) {
            lines.insert(format!("file {}", path.display()));
        }
    }
}

/// Processes that became children of this process, because it is their subreaper.
fn children() -> Vec<String> {
    let path = format!("/proc/self/task/{}/children", std::process::id());
    let pids = fs::read_to_string(path).unwrap_or_default();
    let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    pids.split_whitespace().map(|pid| format!("process {}", name(pid).trim())).collect()
}

/// Removes the cgroups that a runtime has left, so that each life begins with the same host.
pub(crate) fn remove_cgroups() {
    for entry in fs::read_dir(CGROUPS).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if ["differential", "container"].iter().any(|own| name.to_string_lossy().starts_with(own)) {
            remove_cgroup(&entry.path());
        }
    }
}

/// Removes a cgroup and those below it. One with processes stays, because the kernel refuses it.
fn remove_cgroup(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
