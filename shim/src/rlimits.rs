//! Limits that are higher than runvf's own. libcontainer sets them inside the container's user namespace
//! (`container_intermediate_process.rs`), where nobody may raise a hard limit, setrlimit(2). Set outside, they are inherited.

use libcontainer::oci_spec::runtime::{PosixRlimitType as Type, Process};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;

use crate::error::Error;

/// Raises our own hard limits to a process's. The soft ones are what we go by ourselves, and stay.
pub(crate) fn raise(process: Option<&Process>) -> Result<(), Error> {
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
