//! Resource limits that libcontainer cannot set, or sets to a wrong value.
//!
//! - Hard limits above runvf's own. libcontainer sets limits inside the container's user namespace
//!   (`container_intermediate_process.rs`), where no process may raise a hard limit
//!   (setrlimit(2)). So runvf raises its own hard limits, and the container's process inherits
//!   them.
//! - Locked memory. libcgroups sets its limit to 128 MiB before it loads a device filter
//!   (`v2/devices/controller.rs`), in the process that becomes the container's.

use std::fs;

use libcontainer::oci_spec::runtime::{PosixRlimitType as Type, Process};
use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::geteuid;
use rustix::process::{
    Pid, Resource as ProcessResource, Rlimit, getrlimit as getrlimit_of_self, prlimit,
};

use crate::error::Error;

/// Raises runvf's hard limits to the hard limits of a process. The soft limits do not change,
/// because they apply to runvf itself.
pub(crate) fn raise_hard_limits(process: Option<&Process>) -> Result<(), Error> {
    let limits = process.and_then(|process| process.rlimits().as_ref());
    // Only root can raise a hard limit. For other users, libcontainer reports the error.
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

/// The limit of locked memory of a container's process: the value in its spec, or else the limit
/// that runvf was started with.
pub(crate) struct MemlockLimit(Rlimit);

impl MemlockLimit {
    /// Must be called before [`raise_hard_limits`] and before libcgroups changes runvf's limit.
    pub(crate) fn of(process: Option<&Process>) -> Self {
        let limits = process.and_then(|process| process.rlimits().as_ref());
        let in_spec = limits.into_iter().flatten().find(|limit| limit.typ() == Type::RlimitMemlock);
        let limit = |number: u64| (number != RLIM_INFINITY).then_some(number);
        Self(match in_spec {
            Some(spec) => Rlimit { current: limit(spec.soft()), maximum: limit(spec.hard()) },
            None => getrlimit_of_self(ProcessResource::Memlock),
        })
    }

    pub(crate) fn apply(self, pid: i32) -> Result<(), Error> {
        let failed = |error: rustix::io::Errno| {
            Error::kernel("set the limit of locked memory")(Errno::from_raw(error.raw_os_error()))
        };
        match prlimit(Pid::from_raw(pid), ProcessResource::Memlock, self.0) {
            // A caller without CAP_SYS_RESOURCE may not even read the limit of another user's process
            // by prlimit(2).
            Err(rustix::io::Errno::PERM) if self.is_limit_of(pid) => Ok(()),
            other => other.map(drop).map_err(failed),
        }
    }

    fn is_limit_of(&self, pid: i32) -> bool {
        let shown =
            |limit: Option<u64>| limit.map_or("unlimited".into(), |limit| limit.to_string());
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"));
        let mut words = line.unwrap_or_default().split_whitespace();
        words.next() == Some(&shown(self.0.current)) && words.next() == Some(&shown(self.0.maximum))
    }
}

/// The limit of open files of a process that `exec` adds. libcontainer would set it before it opens the
/// namespaces of the container, which a soft limit of a few files does not permit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenFilesLimit {
    soft: u64,
    hard: u64,
}

impl OpenFilesLimit {
    /// Takes the limit out of a process. Of several limits, the last one counts.
    pub(super) fn take_from(process: &mut Process) -> Option<Self> {
        let limits = process.rlimits().clone()?;
        let (own, others): (Vec<_>, Vec<_>) =
            limits.into_iter().partition(|limit| limit.typ() == Type::RlimitNofile);
        process.set_rlimits(Some(others));
        own.last().map(|limit| Self { soft: limit.soft(), hard: limit.hard() })
    }

    /// Sets the limit of the calling process.
    pub(super) fn apply(self) -> Result<(), Errno> {
        setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard)
    }
}

/// Removes the limit of locked memory from a process. libcontainer would set it inside a user
/// namespace, where it can be above the limit that libcgroups has set by then.
pub(crate) fn without_memlock(mut process: Process) -> Process {
    if let Some(limits) = process.rlimits().clone() {
        let others = limits.into_iter().filter(|limit| limit.typ() != Type::RlimitMemlock);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_taken_out() {
        let limit =
            |kind: &str, soft: u64| serde_json::json!({ "type": kind, "soft": soft, "hard": 9 });
        let limits =
            [limit("RLIMIT_NOFILE", 1), limit("RLIMIT_CORE", 2), limit("RLIMIT_NOFILE", 0)];
        let process = serde_json::json!({ "cwd": "/", "user": {}, "rlimits": limits });
        let mut process: Process = serde_json::from_value(process).unwrap();
        let taken = OpenFilesLimit::take_from(&mut process).unwrap();
        assert_eq!((taken.soft, taken.hard), (0, 9));
        assert_eq!(process.rlimits().as_ref().unwrap().len(), 1);
        assert!(OpenFilesLimit::take_from(&mut process).is_none());
    }

    #[test]
    fn the_limit_in_force_is_known_without_prlimit() {
        let own = std::process::id().cast_signed();
        let limit = getrlimit_of_self(ProcessResource::Memlock);
        assert!(MemlockLimit(limit).is_limit_of(own));
        let other = Rlimit { current: Some(1), ..limit };
        assert!(!MemlockLimit(other).is_limit_of(own));
        assert!(!MemlockLimit(limit).is_limit_of(-1));
    }
}
