//! A container that exists, found by its id.
//!
//! Beside libcontainer's files its folder holds `runvf.json`, for what libcontainer does not keep: the root file
//! system's path, which `state` prints, the cgroup and its limits, and the start time of the init process. Without the
//! last a pid that the kernel gave to somebody else would be signalled as if it were the container's.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::container::{Container as Library, ContainerStatus};
use nix::unistd::Pid;

use super::record::{self, Record, started};
use crate::cli::Global;
use crate::error::Error;
use crate::vf::parse_request;

pub(crate) struct Container {
    pub(crate) library: Library,
    pub(crate) record: Record,
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
    pub(crate) fn is_incomplete(&self) -> bool {
        self.library.state.pid.is_none() && self.record == Record::default()
    }

    pub(crate) fn request(&self) -> Result<Option<vf::Request>, Error> {
        parse_request(self.library.state.annotations.as_ref())
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

/// That it is not there is no error.
pub(crate) fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Whether libcontainer made it. Another runtime's container may be in the same root.
pub(crate) fn made_by_libcontainer(global: &Global, id: &str) -> Result<bool, Error> {
    let folder = folder(global, id)?;
    Ok([record::RECORD_FILE, "youki_config.json"].iter().any(|file| folder.join(file).exists()))
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
}
