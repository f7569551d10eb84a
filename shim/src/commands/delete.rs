//! `delete`: the container goes first, its VFs after it, and whatever fails of that which the engine cannot mend is a
//! warning. A container that cannot be removed is worse for the operator than a VF in quarantine.

use libcontainer::container::ContainerStatus;

use crate::cli::{self, Global};
use crate::container::cgroup;
use crate::container::{self, Container};
use crate::error::{Error, line};
use crate::libcontainer::poststop;
use crate::log::Log;
use crate::vf::release_vfs;

pub(crate) fn delete(global: &Global, options: &cli::Delete, log: &Log) -> Result<(), Error> {
    let id = options.id.as_str();
    let folder = container::folder(global, id)?;
    match Container::load(global, id) {
        Ok(container) => {
            let request = container.request();
            remove(container, options.force, log)?;
            // An unreadable request may have been readable to the runvf that attached: ask, it is a no-op otherwise.
            if !matches!(request, Ok(None)) {
                release_vfs(id, log);
            }
            Ok(())
        }
        // A create was cut short before it wrote a state, or a delete after it had removed it.
        Err(Error::NoContainer { .. }) if options.force || folder.exists() => {
            // Without a configuration there is no cgroup yet.
            if let Err(alive @ Error::Unkillable { .. }) = cgroup::kill_by_config(&folder, id) {
                return Err(alive);
            }
            container::remove_folder(&folder)?;
            release_vfs(id, log);
            if options.force { Ok(()) } else { Err(Error::NoContainer { id: id.to_owned() }) }
        }
        // Written in part when the machine or the process died. Nothing says what it had, so everything is tried.
        Err(error @ Error::BadState { .. }) if options.force => {
            log.warn(&line(&error));
            // Its processes first: once the folder is gone, nobody knows of them.
            match cgroup::kill_by_config(&folder, id) {
                Err(alive @ Error::Unkillable { .. }) => return Err(alive),
                Err(unknown) => log.warn(&line(&unknown)),
                Ok(()) => {}
            }
            container::remove_folder(&folder)?;
            release_vfs(id, log);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Kills what is left of the container and removes all that is on the machine for it, but its VFs.
pub(crate) fn remove(mut container: Container, force: bool, log: &Log) -> Result<(), Error> {
    let id = container.id().to_owned();
    let status = container.library.status();
    // A created container may go without --force, as with runc: engines do that when a start fails.
    let may = force || matches!(status, ContainerStatus::Stopped | ContainerStatus::Created);
    if !may {
        return Err(Error::NotStopped { id, status: container::status_name(status) });
    }
    cgroup::kill_and_wait(&container)?;
    let config = container.library.spec().ok();
    if let Some(mut bare) = config.clone() {
        // libcontainer must not run them: see `poststop.rs`.
        bare.hooks = None;
        bare.save(&container.library.root)
            .map_err(|error| Error::library("delete", &id)(error.into()))?;
    }
    let state = container.library.state.clone();
    // libcontainer looks twice at a process that may be gone in between, and then it has done nothing yet.
    if let Err(error) = container.library.delete(true)
        && container.library.delete(true).is_err()
    {
        // The cgroup is left over, perhaps; no process is in it.
        log.warn(&format!("container {id}: {}", line(&error)));
    }
    poststop::run(config.as_ref().and_then(|config| config.hooks.as_ref()), &state, log);
    container::remove_folder(&container.library.root)
}
