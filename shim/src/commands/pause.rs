//! `pause` and `resume`: the freezer of the container's cgroup.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::container::ContainerStatus;

use crate::cli::Global;
use crate::container::Container;
use crate::error::Error;

pub(crate) fn pause(global: &Global, id: &str) -> Result<(), Error> {
    let mut container = Container::load(global, id)?;
    if container.library.status() != ContainerStatus::Running {
        return Err(Error::NotRunning { id: id.to_owned() });
    }
    container.library.pause().map_err(|error| {
        // It waits for processes that hang in the kernel, and they would freeze later, when nobody knows of it.
        let _ = thaw(&container);
        Error::library("pause", id)(error)
    })
}

pub(crate) fn resume(global: &Global, id: &str) -> Result<(), Error> {
    let mut container = Container::load(global, id)?;
    match container.library.status() {
        ContainerStatus::Paused => container.library.resume().map_err(Error::library("resume", id)),
        // A `pause` was killed before it had said so.
        ContainerStatus::Running if is_frozen(&container) => thaw(&container),
        _ => Err(Error::NotPaused { id: id.to_owned() }),
    }
}

/// Of version 2, where a state of "1" is what was asked for and not yet what is.
fn freezer(container: &Container) -> Option<PathBuf> {
    let cgroup = container.record.cgroup.as_ref()?;
    Some(Path::new("/sys/fs/cgroup").join(cgroup).join("cgroup.freeze"))
}

fn is_frozen(container: &Container) -> bool {
    let state = freezer(container).and_then(|file| fs::read_to_string(file).ok());
    state.is_some_and(|state| state.trim() == "1")
}

fn thaw(container: &Container) -> Result<(), Error> {
    let Some(file) = freezer(container) else { return Ok(()) };
    fs::write(&file, "0").map_err(Error::file("write", file))
}
