//! `start`: checks that the container's VFs are still attached, then lets the waiting init process
//! run.

use libcontainer::container::ContainerStatus;
use libcontainer::error::LibcontainerError;

use crate::cli::Global;
use crate::container::Container;
use crate::container::cgroup;
use crate::error::Error;
use crate::libcontainer::runtime_hooks;
use crate::vf::check_vfs;

pub(crate) fn start(global: &Global, id: &str) -> Result<(), Error> {
    let mut container = Container::load(global, id)?;
    let reason = match container.library.status() {
        ContainerStatus::Created if container.record.finished => None,
        ContainerStatus::Created | ContainerStatus::Creating => {
            Some("the container was not fully created")
        }
        ContainerStatus::Stopped => Some("the container has stopped"),
        ContainerStatus::Running | ContainerStatus::Paused => {
            Some("the container is already running")
        }
    };
    if let Some(reason) = reason {
        return Err(Error::CannotStart { id: id.to_owned(), reason });
    }
    if let Some(request) = container.request()? {
        let pid = container.init().map_or(0, |pid| pid.as_raw());
        check_vfs(&request, id, pid)?;
    }
    let started = container.library.start().and_then(|()| {
        let run = runtime_hooks::poststart(&container.record.poststart, &container.library.state);
        run.map_err(LibcontainerError::Hook)
    });
    match started {
        Ok(()) => Ok(()),
        Err(source @ LibcontainerError::Hook(_)) => Err(stop_after_hook(&container, source)),
        Err(source) => Err(Error::library("start", id)(source)),
    }
}

/// Stops a container after a failed poststart hook, as the spec requires (`runtime.md`, lifecycle,
/// step 9) and as runc does. libcontainer leaves the process running.
fn stop_after_hook(container: &Container, source: LibcontainerError) -> Error {
    let first = Error::library("run the poststart hooks of", container.id())(source);
    match cgroup::kill_and_wait(container) {
        Ok(()) => first,
        Err(then) => first.followed_by(&then),
    }
}
