//! A container that exists, found by its id.
//!
//! Beside libcontainer's files its folder holds `runvf.json`, for what libcontainer does not keep: the root file
//! system's path, which `state` prints, the cgroup and its limits, and the start time of the init process. Without the
//! last a pid that the kernel gave to somebody else would be signalled as if it were the container's.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::container::{Container as Library, ContainerStatus};
use libcontainer::oci_spec::runtime::LinuxResources;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::cgroup_path;
use crate::cli::Global;
use crate::error::Error;

const RECORD: &str = "runvf.json";

pub(crate) struct Container {
    pub(crate) library: Library,
    pub(crate) record: Record,
}

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

impl Container {
    pub(crate) fn load(global: &Global, id: &str) -> Result<Self, Error> {
        let folder = folder(global, id)?;
        if !folder.join("state.json").exists() {
            return Err(Error::NoContainer { id: id.to_owned() });
        }
        let loaded = Library::load(folder);
        let mut library = loaded
            .map_err(|source| Error::BadState { id: id.to_owned(), source: Box::new(source) })?;
        let record = Record::load(&library.root);
        let init = library.state.pid.zip(record.as_ref());
        if init.is_some_and(|(pid, record)| started(pid) != Some(record.init_started)) {
            // Some other process by now. libcontainer takes a container without a pid for stopped.
            library.state.pid = None;
            library.set_status(ContainerStatus::Stopped);
        }
        Ok(Self { library, record: record.unwrap_or_default() })
    }

    pub(crate) fn id(&self) -> &str {
        self.library.id()
    }

    /// The init process, if it is there and no zombie.
    pub(crate) fn init(&self) -> Option<Pid> {
        match self.library.status() {
            ContainerStatus::Stopped => None,
            // libcontainer has a nix of its own, and so another `Pid`.
            _ => self.library.state.pid.map(Pid::from_raw),
        }
    }

    /// Its create ended before libcontainer had noted an init process; there may be one.
    pub(crate) fn was_cut_short(&self) -> bool {
        self.library.state.pid.is_none() && self.record == Record::default()
    }

    pub(crate) fn request(&self) -> Result<Option<vf::Request>, Error> {
        crate::network::request(self.library.state.annotations.as_ref())
    }
}

/// Of a container that an earlier runvf has made.
fn yes() -> bool {
    true
}

impl Record {
    pub(crate) fn new(rootfs: PathBuf, pid: i32, keyring: bool) -> Option<Self> {
        let cgroup = cgroup_path::unified(pid);
        let init_started = started(pid)?;
        Some(Self { rootfs, init_started, cgroup, keyring, finished: false, resources: None })
    }

    pub(crate) fn save(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(RECORD);
        let text = serde_json::to_vec(self);
        let text = text.map_err(|source| Error::Json { path: path.clone(), source })?;
        replace(&path, &text)
    }

    /// `None` while the container is being created, or if that was cut short.
    fn load(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(RECORD)).ok()?).ok()
    }
}

/// Where the state of a container is, whether or not it exists. The id becomes a path, so this is where it is checked
/// (runc's rule, `libcontainer/factory_linux.go`, `validateID`).
pub(crate) fn folder(global: &Global, id: &str) -> Result<PathBuf, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if !(1..=1024).contains(&id.len()) || id == "." || id == ".." || !id.bytes().all(plain) {
        return Err(Error::BadId { id: id.chars().take(80).collect() });
    }
    Ok(global.root().join(id))
}

/// Whether libcontainer made it. Another runtime's container may be in the same root.
pub(crate) fn is_ours(global: &Global, id: &str) -> Result<bool, Error> {
    let folder = folder(global, id)?;
    Ok([RECORD, "youki_config.json"].iter().any(|file| folder.join(file).exists()))
}

/// Writes a file whole: whoever looks for it never sees half of it.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    fs::write(&temporary, content).map_err(Error::file("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::file("write", path))
}

pub(crate) fn status_name(status: ContainerStatus) -> &'static str {
    match status {
        ContainerStatus::Creating => "creating",
        ContainerStatus::Created => "created",
        ContainerStatus::Running => "running",
        ContainerStatus::Stopped => "stopped",
        ContainerStatus::Paused => "paused",
    }
}

fn started(pid: i32) -> Option<u64> {
    vf::ProcessId::of(pid).map(|process| process.start_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_leaves_the_root() {
        use clap::Parser as _;
        let global = crate::cli::Arguments::parse_from(["runvf", "list"]).global;
        for id in ["", ".", "..", "a/b", "../x", "a b", "ä"] {
            assert!(folder(&global, id).is_err(), "{id}");
        }
        assert_eq!(folder(&global, "a.b_c+1-2").unwrap().file_name().unwrap(), "a.b_c+1-2");
    }

    #[test]
    fn a_record_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record { rootfs: "/r".into(), init_started: 7, ..Record::default() };
        record.save(folder.path()).unwrap();
        assert_eq!(Record::load(folder.path()), Some(record));
    }
}
