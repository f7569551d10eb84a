//! `kill`. libcontainer's own is not used: it calls every signalled container stopped, and its next look calls that one
//! running, so that one which was only created could never be started; and it knows no real-time signals.

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
        // The processes of a stopped container too: that is what engines use it for.
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
        // Gone in between, which is as good as signalled.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(source) => Err(Error::Kernel { action: "signal a process of the container", source }),
    }
}
