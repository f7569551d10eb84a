//! `start`: the process that `create` left waiting runs, if the container's VFs are where they were put.

use libcontainer::container::ContainerStatus;
use libcontainer::error::LibcontainerError;

use crate::cli::Global;
use crate::container::Container;
use crate::container::cgroup;
use crate::error::Error;
use crate::vf::check_vfs;

pub(crate) fn start(global: &Global, id: &str) -> Result<(), Error> {
    let mut container = Container::load(global, id)?;
    let why = match container.library.status() {
        ContainerStatus::Created if container.record.finished => None,
        ContainerStatus::Created => Some("half-made"),
        ContainerStatus::Stopped => Some("stopped"),
        ContainerStatus::Creating => Some("half-made"),
        ContainerStatus::Running | ContainerStatus::Paused => Some("already running"),
    };
    if let Some(why) = why {
        return Err(Error::CannotStart { id: id.to_owned(), why });
    }
    if let Some(request) = container.request()? {
        let pid = container.init().map_or(0, |pid| pid.as_raw());
        check_vfs(&request, id, pid)?;
    }
    match container.library.start() {
        Ok(()) => Ok(()),
        Err(source @ LibcontainerError::Hook(_)) => Err(after_poststart(&container, source)),
        Err(source) => Err(Error::library("start", id)(source)),
    }
}

/// The process runs already when a poststart hook fails; libcontainer leaves it so. The spec wants it stopped
/// (`runtime.md`, lifecycle, step 9), as runc does.
fn after_poststart(container: &Container, source: LibcontainerError) -> Error {
    let first = Error::library("run the poststart hooks of", container.id())(source);
    match cgroup::kill_and_wait(container) {
        Ok(()) => first,
        Err(then) => first.followed_by(&then),
    }
}
