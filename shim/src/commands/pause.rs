//! `pause` and `resume`: freeze and thaw the container's cgroup.

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
        // The freezer waits for processes that hang in the kernel. Without the thaw they would
        // freeze later, although `pause` has reported a failure.
        let _ = thaw(&container);
        Error::library("pause", id)(error)
    })
}

pub(crate) fn resume(global: &Global, id: &str) -> Result<(), Error> {
    let mut container = Container::load(global, id)?;
    match container.library.status() {
        ContainerStatus::Paused => container.library.resume().map_err(Error::library("resume", id)),
        // A `pause` was killed before it stored the new status.
        ContainerStatus::Running if is_frozen(&container) => thaw(&container),
        _ => Err(Error::NotPaused { id: id.to_owned() }),
    }
}

/// The freezer file of a cgroup v2. Its content "1" is the requested state; the processes may not
/// be frozen yet.
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
