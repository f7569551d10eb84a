//! Errors of system calls, file operations and netlink requests. A variant names the action and its
//! object; `source` is the kernel's answer.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::kernel::retry::is_busy;

#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("cannot {action} {object}")]
    Link { action: &'static str, object: String, source: NetlinkError },
    #[error("cannot {action} {}", .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot {action}")]
    Call { action: &'static str, source: Errno },
    #[error("{what} did not finish within {seconds} s")]
    Timeout { what: String, seconds: u64 },
    #[error("the search for a container's network namespace did not finish within {seconds} s")]
    NetnsNotFound { seconds: u64 },
    #[error("this is the host's network namespace, and no container's: its processes stay")]
    OwnNetns,
    /// A VF or its netdev is not in the required state.
    #[error("VF {vf} {what}")]
    Dirty { vf: String, what: &'static str },
}

/// Why a netlink request failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel answered with an errno.
    #[error("{}", .0.desc())]
    Refused(Errno),
    #[error("the kernel did not answer within {0} s")]
    NoAnswer(u64),
    /// The list changed while the kernel sent it, in every attempt.
    #[error("the list changed while the kernel sent it, {0} times in a row")]
    Interrupted(usize),
    /// The socket failed, or the answer could not be parsed.
    #[error("{0}")]
    Transport(String),
}

impl NetlinkError {
    pub(crate) fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused(errno) => Some(*errno),
            _ => None,
        }
    }
}

pub(crate) fn errno_of(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

impl KernelError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Link { source, .. } if is_busy(source.errno()) => Some(
                "the driver stayed busy: the PF is in a reset, or another tool changes VFs; see `dmesg`"
                    .to_owned(),
            ),
            Self::Timeout { .. } => Some("its driver may hang: see `dmesg`".to_owned()),
            _ => None,
        }
    }
}
