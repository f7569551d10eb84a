//! Limits that are higher than runvf's own. libcontainer sets them inside the container's user namespace
//! (`container_intermediate_process.rs`), where nobody may raise a hard limit, setrlimit(2). Set outside, they are inherited.
//!
//! And locked memory, which libcgroups limits to 128 MiB before it loads a device filter (`v2/devices/controller.rs`), in the process
//! that becomes the container's.

use libcontainer::oci_spec::runtime::{PosixRlimitType as Type, Process};
use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;
use rustix::process::{
    Pid, Resource as ProcessResource, Rlimit, getrlimit as getrlimit_of_self, prlimit,
};

use crate::error::Error;

/// Raises our own hard limits to a process's. The soft ones are what we go by ourselves, and stay.
pub(crate) fn raise_hard_limits(process: Option<&Process>) -> Result<(), Error> {
    let limits = process.and_then(|process| process.rlimits().as_ref());
    // Without root there is no raising them, and libcontainer says so.
    for limit in limits.into_iter().flatten().filter(|_| geteuid().is_root()) {
        let (resource, wanted) = (resource(limit.typ()), limit.hard());
        let failed = |errno| Error::kernel("raise a resource limit")(errno);
        let (soft, hard) = getrlimit(resource).map_err(failed)?;
        if wanted > hard {
            setrlimit(resource, soft, wanted).map_err(failed)?;
        }
    }
    Ok(())
}

/// What a container's process may lock: what its spec says or, if that says nothing, what runvf itself was given.
pub(crate) struct MemlockLimit(Rlimit);

impl MemlockLimit {
    /// Before anything was raised.
    pub(crate) fn of(process: Option<&Process>) -> Self {
        let limits = process.and_then(|process| process.rlimits().as_ref());
        let said = limits.into_iter().flatten().find(|it| it.typ() == Type::RlimitMemlock);
        let limit = |number: u64| (number != RLIM_INFINITY).then_some(number);
        Self(match said {
            Some(said) => Rlimit { current: limit(said.soft()), maximum: limit(said.hard()) },
            None => getrlimit_of_self(ProcessResource::Memlock),
        })
    }

    pub(crate) fn apply(self, pid: i32) -> Result<(), Error> {
        let failed = |error: rustix::io::Errno| {
            Error::kernel("limit the memory that the process may lock")(Errno::from_raw(
                error.raw_os_error(),
            ))
        };
        prlimit(Pid::from_raw(pid), ProcessResource::Memlock, self.0).map(drop).map_err(failed)
    }
}

/// A limit that libcontainer would set inside a user namespace, where it may be above what libcgroups has made of ours by then.
pub(crate) fn without_memlock(mut process: Process) -> Process {
    if let Some(limits) = process.rlimits().clone() {
        let others = limits.into_iter().filter(|it| it.typ() != Type::RlimitMemlock);
        process.set_rlimits(Some(others.collect()));
    }
    process
}

fn resource(kind: Type) -> Resource {
    match kind {
        Type::RlimitAs => Resource::RLIMIT_AS,
        Type::RlimitCore => Resource::RLIMIT_CORE,
        Type::RlimitCpu => Resource::RLIMIT_CPU,
        Type::RlimitData => Resource::RLIMIT_DATA,
        Type::RlimitFsize => Resource::RLIMIT_FSIZE,
        Type::RlimitLocks => Resource::RLIMIT_LOCKS,
        Type::RlimitMemlock => Resource::RLIMIT_MEMLOCK,
        Type::RlimitMsgqueue => Resource::RLIMIT_MSGQUEUE,
        Type::RlimitNice => Resource::RLIMIT_NICE,
        Type::RlimitNofile => Resource::RLIMIT_NOFILE,
        Type::RlimitNproc => Resource::RLIMIT_NPROC,
        Type::RlimitRss => Resource::RLIMIT_RSS,
        Type::RlimitRtprio => Resource::RLIMIT_RTPRIO,
        Type::RlimitRttime => Resource::RLIMIT_RTTIME,
        Type::RlimitSigpending => Resource::RLIMIT_SIGPENDING,
        Type::RlimitStack => Resource::RLIMIT_STACK,
    }
}
