//! `runvf.json`: the facts about a container that libcontainer does not store.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use super::atomic_write::write_atomically;
use super::cgroup_path;
use crate::error::Error;

pub(super) const RECORD_FILE: &str = "runvf.json";

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) rootfs: PathBuf,
    /// Start time of the init process in clock ticks since boot, field 22 of `/proc/PID/stat`,
    /// proc(5).
    pub(crate) init_started: u64,
    /// The container's cgroup, relative to the root of cgroup v2. The init process may have moved
    /// to a cgroup below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<PathBuf>,
    /// Whether the container has its own session keyring, which `exec` must join.
    #[serde(default)]
    pub(crate) keyring: bool,
    /// Whether `create` finished. If it was killed earlier, the container may have no device
    /// filter.
    // A record of a version without this field belongs to a finished container.
    #[serde(default = "default_finished")]
    pub(crate) finished: bool,
    /// The limits of the last `update`. `None` means the limits of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resources: Option<LinuxResources>,
}

fn default_finished() -> bool {
    true
}

impl Record {
    /// The record of a container with the init process `pid`. `None` if that process has exited.
    pub(crate) fn new(rootfs: PathBuf, pid: i32, keyring: bool) -> Option<Self> {
        let cgroup = cgroup_path::of_process(pid);
        let init_started = start_time(pid)?;
        Some(Self { rootfs, init_started, cgroup, keyring, finished: false, resources: None })
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(RECORD_FILE);
        let text = serde_json::to_vec(self);
        let text = text.map_err(|source| Error::Json { path: path.clone(), source })?;
        write_atomically(&path, &text)
    }

    /// `None` while `create` runs, or if `create` was interrupted.
    pub(super) fn load(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(RECORD_FILE)).ok()?).ok()
    }
}

/// The start time of a process in clock ticks since boot. `None` if it has exited or is a zombie.
pub(super) fn start_time(pid: i32) -> Option<u64> {
    vf::ProcessId::of(pid).map(|process| process.start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_record_is_loaded_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record { rootfs: "/r".into(), init_started: 7, ..Record::default() };
        record.save(folder.path()).unwrap();
        assert_eq!(Record::load(folder.path()), Some(record));
    }
}
