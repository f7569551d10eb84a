//! Errors of claims, locks and the audit log, and of requests that conflict with the claims on
//! disk.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "{who} asks for {asked} more VF{}, but has {held} of at most {max}",
        if *.asked == 1 { "" } else { "s" }
    )]
    OverQuota { who: String, asked: usize, held: usize, quarantined: usize, max: usize },
    #[error("{who}: this network namespace already holds another tenant's VF")]
    ForeignNetns { who: String },

    #[error("cannot write the audit log {}", .path.display())]
    Audit { path: PathBuf, source: io::Error },
    #[error("{} is not a claim: {problem}", .path.display())]
    BadClaim { path: PathBuf, problem: String },
    #[error(
        "{} was written by a newer runvf: it has version {version}, and this runvf reads claims up \
         to version {readable}",
        .path.display()
    )]
    NewerClaim { path: PathBuf, version: u32, readable: u32, container: String, interface: String },
    #[error(
        "cannot lock {}: held by {} for more than {seconds} s",
        .path.display(),
        holder_or_unknown(.holder)
    )]
    Locked { path: PathBuf, seconds: u64, holder: String },
}

/// The lock file is empty for a moment, because a process writes its name into it after it has
/// taken the lock.
fn holder_or_unknown(holder: &str) -> &str {
    if holder.is_empty() { "another process" } else { holder }
}

impl LedgerError {
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::OverQuota { quarantined: 0, .. } => {
                "stop one of the tenant's containers, or raise `max` in \
                 /etc/runvf/config.toml"
                    .to_owned()
            }
            Self::OverQuota { quarantined, .. } => format!(
                "{quarantined} of them quarantined: run `runvfctl repair`, or stop one of the \
                 tenant's containers"
            ),
            Self::ForeignNetns { .. } => {
                "run the container in a network namespace of its own (`--network none`) or in \
                 another pod; `runvfctl status` lists the claims"
                    .to_owned()
            }
            Self::Audit { source, .. } if source.kind() == io::ErrorKind::TimedOut => {
                "attaching requires an audit entry; check the file system of the log, see `dmesg`"
                    .to_owned()
            }
            Self::Audit { .. } => {
                "attaching requires an audit entry; free disk space or fix the permissions"
                    .to_owned()
            }
            Self::BadClaim { path, .. } => {
                let vf = path.file_stem().unwrap_or_default().to_string_lossy();
                format!("run `runvfctl repair {vf}` to clean the VF")
            }
            Self::NewerClaim { .. } => {
                "the VF stays claimed; install that version of runvf again to release it".to_owned()
            }
            Self::Locked { .. } => {
                "try again when that process is done; `dmesg` may say why it hangs".to_owned()
            }
        })
    }
}
