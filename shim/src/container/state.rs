//! Loads an existing container by its id.
//!
//! The container's folder holds libcontainer's files and `runvf.json`. The latter has the facts
//! that libcontainer does not store: the path of the root file system, which `state` prints; the
//! cgroup and its limits; and the start time of the init process. The start time identifies the
//! init process, because the kernel may reuse its pid for another process, and that process must
//! not receive the container's signals.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::container::{Container as Library, ContainerStatus};
use nix::unistd::Pid;

use super::record::{self, Record, start_time};
use crate::cli::Global;
use crate::error::Error;
use crate::vf::parse_request;

/// libcontainer's container and runvf's record of it.
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
        if init.is_some_and(|(pid, record)| start_time(pid) != Some(record.init_started)) {
            // The init process has exited, and the pid may belong to another process. libcontainer
            // treats a container without a pid as stopped.
            library.state.pid = None;
            library.set_status(ContainerStatus::Stopped);
        }
        Ok(Self { library, record: record.unwrap_or_default() })
    }

    pub(crate) fn id(&self) -> &str {
        self.library.id()
    }

    /// The init process, unless it has exited or is a zombie.
    pub(crate) fn init(&self) -> Option<Pid> {
        match self.library.status() {
            ContainerStatus::Stopped => None,
            // libcontainer uses another version of nix, and so a different type `Pid`.
            _ => self.library.state.pid.map(Pid::from_raw),
        }
    }

    /// Whether `create` was interrupted before libcontainer stored the init process. The process
    /// may exist.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.library.state.pid.is_none() && self.record == Record::default()
    }

    /// The VF request in the container's annotations, and its pod.
    pub(crate) fn request(&self) -> Result<Option<vf::Request>, Error> {
        let request = parse_request(self.library.state.annotations.as_ref())?;
        Ok(request.map(|request| vf::Request { pod: self.record.pod.clone(), ..request }))
    }
}

/// The folder of a container's state. The container need not exist. This function validates the id,
/// because the id becomes a part of a path. The rule is runc's (`libcontainer/factory_linux.go`,
/// `validateID`).
pub(crate) fn folder(global: &Global, id: &str) -> Result<PathBuf, Error> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if !(1..=1024).contains(&id.len()) || id == "." || id == ".." || !id.bytes().all(is_allowed) {
        return Err(Error::BadId { id: id.chars().take(80).collect() });
    }
    Ok(global.root().join(id))
}

/// Removes a container's folder. A missing folder is not an error.
pub(crate) fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Whether libcontainer created the container. A container of another runtime may be in the same
/// root.
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
    fn an_id_cannot_leave_the_root() {
        use clap::Parser as _;
        let global = crate::cli::Arguments::parse_from(["runvf", "list"]).global;
        for id in ["", ".", "..", "a/b", "../x", "a b", "ä"] {
            assert!(folder(&global, id).is_err(), "{id}");
        }
        assert_eq!(folder(&global, "a.b_c+1-2").unwrap().file_name().unwrap(), "a.b_c+1-2");
    }
}
