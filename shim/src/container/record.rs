//! `runvf.json`: what runvf keeps of a container and libcontainer does not.

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
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`, proc(5).
    pub(crate) init_started: u64,
    /// Below the root of cgroup v2. Its process may be in a cgroup below that by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<PathBuf>,
    /// Whether it has a session keyring of its own, which `exec` must join.
    #[serde(default)]
    pub(crate) keyring: bool,
    /// Whether `create` came to its end. What was killed before may be without its device filter.
    #[serde(default = "yes")]
    pub(crate) finished: bool,
    /// From `update`; `None`: those of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resources: Option<LinuxResources>,
}

/// Of a container that an earlier runvf has made.
fn yes() -> bool {
    true
}

impl Record {
    pub(crate) fn new(rootfs: PathBuf, pid: i32, keyring: bool) -> Option<Self> {
        let cgroup = cgroup_path::of_process(pid);
        let init_started = started(pid)?;
        Some(Self { rootfs, init_started, cgroup, keyring, finished: false, resources: None })
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(RECORD_FILE);
        let text = serde_json::to_vec(self);
        let text = text.map_err(|source| Error::Json { path: path.clone(), source })?;
        write_atomically(&path, &text)
    }

    /// `None` while the container is being created, or if that was cut short.
    pub(super) fn load(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(RECORD_FILE)).ok()?).ok()
    }
}

/// The start time of a process; `None` if it is gone or a zombie.
pub(super) fn started(pid: i32) -> Option<u64> {
    vf::ProcessId::of(pid).map(|process| process.start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record { rootfs: "/r".into(), init_started: 7, ..Record::default() };
        record.save(folder.path()).unwrap();
        assert_eq!(Record::load(folder.path()), Some(record));
    }
}
