//! `kill`: sends a signal to a container. libcontainer's `kill` is not used. It does not support
//! real-time signals, and it marks every signalled container as stopped; its next status check then
//! marks a created container as running, so that the container can no longer be started.

use libcontainer::container::ContainerStatus;
use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use crate::cli::{self, Global};
use crate::container::Container;
use crate::container::cgroup;
use crate::container::signal;
use crate::error::Error;

pub(crate) fn kill(global: &Global, options: &cli::Kill) -> Result<(), Error> {
    let number = signal::parse(&options.signal)?;
    let container = Container::load(global, &options.id)?;
    if options.all {
        if number == libc::SIGKILL {
            cgroup::kill_at_once(&container);
        }
        // A stopped container is allowed, because engines use `kill --all` for the processes that
        // remain in it.
        let manager = cgroup::manager(&container)?;
        for pid in cgroup::pids(&manager) {
            send(pid, number)?;
        }
    } else {
        let not_running = || Error::NotRunning { id: options.id.clone() };
        send(container.init().ok_or_else(not_running)?, number)?;
    }
    if number == libc::SIGKILL && container.library.status() == ContainerStatus::Paused {
        cgroup::thaw_if_needed(&cgroup::manager(&container)?);
    }
    Ok(())
}

fn send(pid: Pid, number: i32) -> Result<(), Error> {
    match signal::send(pid, number) {
        // ESRCH means that the process has exited since, which is not an error.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(source) => Err(Error::Kernel { action: "signal a process of the container", source }),
    }
}
