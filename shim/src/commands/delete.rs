//! `delete`: removes the container, then releases its VFs. A failure that the engine cannot correct
//! is only a warning, because a container that cannot be removed is worse for the operator than a
//! VF in quarantine.

use libcontainer::container::ContainerStatus;

use crate::cli::{self, Global};
use crate::container::cgroup;
use crate::container::{self, Container};
use crate::error::{Error, line};
use crate::libcontainer::runtime_hooks;
use crate::log::Log;
use crate::vf::release_vfs;

/// Deletes the container and releases its VFs. With `--force`, also kills a running container, and
/// a missing container is not an error.
pub(crate) fn delete(global: &Global, options: &cli::Delete, log: &Log) -> Result<(), Error> {
    let id = options.id.as_str();
    let folder = container::folder(global, id)?;
    match Container::load(global, id) {
        Ok(container) => {
            let request = container.request();
            remove(container, options.force, log)?;
            // If the request cannot be parsed, the version of runvf that created the container may
            // have attached VFs. The release does nothing if there are none.
            if !matches!(request, Ok(None)) {
                release_vfs(id, log);
            }
            Ok(())
        }
        // A `create` was interrupted before it wrote the state, or a `delete` after it removed the
        // state.
        Err(Error::NoContainer { .. }) if options.force || folder.exists() => {
            // Without a configuration this fails, but then no cgroup exists either.
            if let Err(unkillable @ Error::Unkillable { .. }) = cgroup::kill_by_config(&folder, id)
            {
                return Err(unkillable);
            }
            container::remove_folder(&folder)?;
            release_vfs(id, log);
            if options.force { Ok(()) } else { Err(Error::NoContainer { id: id.to_owned() }) }
        }
        // The state is incomplete, because the host or runvf crashed while it was written. It does
        // not say what exists for the container, so every part of the removal is tried.
        Err(error @ Error::BadState { .. }) if options.force => {
            log.warn(&line(&error));
            // The processes are killed first, because only the folder leads to them.
            match cgroup::kill_by_config(&folder, id) {
                Err(unkillable @ Error::Unkillable { .. }) => return Err(unkillable),
                Err(error) => log.warn(&line(&error)),
                Ok(()) => {}
            }
            container::remove_folder(&folder)?;
            release_vfs(id, log);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Kills the processes of the container, runs its poststop hooks and removes its cgroup and its
/// folder. Does not release its VFs.
pub(crate) fn remove(mut container: Container, force: bool, log: &Log) -> Result<(), Error> {
    let id = container.id().to_owned();
    let status = container.library.status();
    // runc also deletes a created container without --force. Engines rely on that when a start
    // fails.
    let is_allowed = force || matches!(status, ContainerStatus::Stopped | ContainerStatus::Created);
    if !is_allowed {
        return Err(Error::NotStopped { id, status: container::status_name(status) });
    }
    cgroup::kill_and_wait(&container)?;
    cgroup::remove_nested(&container);
    let config = container.library.spec().ok();
    if let Some(mut without_hooks) = config.clone() {
        // runvf runs the hooks itself, see `runtime_hooks.rs`.
        without_hooks.hooks = None;
        without_hooks
            .save(&container.library.root)
            .map_err(|error| Error::library("delete", &id)(error.into()))?;
    }
    let state = container.library.state.clone();
    // libcontainer checks the init process twice. If the process disappears between the two checks,
    // libcontainer fails before it removes anything. So the deletion is tried a second time.
    if let Err(error) = container.library.delete(true)
        && container.library.delete(true).is_err()
    {
        // The cgroup may remain. It contains no process.
        log.warn(&format!("container {id}: {}", line(&error)));
    }
    let hooks = config.as_ref().and_then(|config| config.hooks.as_ref());
    runtime_hooks::poststop(hooks, &state, log);
    container::remove_folder(&container.library.root)
}
