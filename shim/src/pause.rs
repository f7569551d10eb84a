//! `pause` and `resume`: the freezer of the container's cgroup.

use libcontainer::container::ContainerStatus;

use crate::cli::Global;
use crate::container::Container;
use crate::error::Error;

pub(crate) fn pause(global: &Global, id: &str) -> Result<(), Error> {
    let mut container = Container::load(global, id)?;
    if container.library.status() != ContainerStatus::Running {
        return Err(Error::NotRunning { id: id.to_owned() });
    }
    container.library.pause().map_err(Error::library("pause", id))
}

pub(crate) fn resume(global: &Global, id: &str) -> Result<(), Error> {
    let mut container = Container::load(global, id)?;
    if container.library.status() != ContainerStatus::Paused {
        return Err(Error::NotPaused { id: id.to_owned() });
    }
    container.library.resume().map_err(Error::library("resume", id))
}
