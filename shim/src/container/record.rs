//! `runvf.json`: the facts about a container that libcontainer does not store.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::{Hook, LinuxResources};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::atomic_write::write_atomically;
use super::cgroup_path;
use crate::error::Error;

pub(super) const RECORD_FILE: &str = "runvf.json";

/// The version of the records that this runvf writes.
///
/// A container may outlive an upgrade or a downgrade of runvf. So every new field needs
/// `#[serde(default)]`, and an older runvf ignores the field but keeps it. A change that an older
/// runvf must not ignore raises this number: an older runvf then does not change the record.
const RECORD_VERSION: u32 = 1;

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// See [`RECORD_VERSION`]. The first records have no version.
    #[serde(default)]
    version: u32,
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
    /// What the container is to its Kubernetes pod. `start` then looks for the VFs of the pod's
    /// sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<vf::PodRole>,
    /// The poststart hooks, which `start` runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) poststart: Vec<Hook>,
    /// Whether the container must not send by one of its VFs, so that `exec` must deny AF_XDP
    /// sockets, too.
    #[serde(default)]
    pub(crate) receive_only: bool,
    /// The fields of a newer runvf.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

fn default_finished() -> bool {
    true
}

impl Record {
    /// The record of a container with the init process `pid`. `None` if that process has exited.
    pub(crate) fn new(rootfs: PathBuf, pid: i32, keyring: bool) -> Option<Self> {
        let cgroup = cgroup_path::of_process(pid);
        let init_started = start_time(pid)?;
        let version = RECORD_VERSION;
        Some(Self { version, rootfs, init_started, cgroup, keyring, ..Self::default() })
    }

    /// # Errors
    /// [`Error::NewerRecord`] when the record on disk has a higher version.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(RECORD_FILE);
        // Only the version is parsed, because this runvf may not understand the rest.
        let stored = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        if let Some(Versioned { version }) = stored
            && version > RECORD_VERSION
        {
            return Err(Error::NewerRecord { path, version });
        }
        let text = serde_json::to_vec(self);
        let text = text.map_err(|source| Error::Json { path: path.clone(), source })?;
        write_atomically(&path, &text)
    }

    /// `None` while `create` runs, or if `create` was interrupted.
    pub(super) fn load(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(RECORD_FILE)).ok()?).ok()
    }
}

/// The part of a record that every version has.
#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    version: u32,
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

    #[test]
    fn the_fields_of_a_newer_runvf_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RECORD_FILE);
        let newer = r#"{"rootfs":"/r","init_started":7,"finished":true,"oom":{"killed":2}}"#;
        fs::write(&path, newer).unwrap();
        let mut record = Record::load(folder.path()).unwrap();
        record.resources = Some(LinuxResources::default());
        record.save(folder.path()).unwrap();
        let stored: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(stored["oom"]["killed"], 2);
        assert_eq!(Record::load(folder.path()), Some(record));

        let unreadable = r#"{"version":2,"rootfs":["/r"]}"#;
        fs::write(&path, unreadable).unwrap();
        assert_eq!(Record::load(folder.path()), None);
        let refused = Record::default().save(folder.path()).unwrap_err();
        assert!(matches!(refused, Error::NewerRecord { version: 2, .. }), "{refused:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), unreadable);
    }
}
