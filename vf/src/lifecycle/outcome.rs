//! The result of a release, a repair or a reconcile for one VF.

use std::path::Path;

use crate::error::Error;
use crate::ledger::claim::Claim;
use crate::ledger::error::LedgerError;

/// A VF, its last container, and the outcome for the VF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// PCI address.
    pub vf: String,
    /// The interface's name inside the container.
    pub interface: String,
    /// The container's id, from the engine. Empty if it is unknown.
    pub container: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The VF is free and read back clean, or it no longer exists.
    Clean,
    /// As [`Outcome::Clean`], but the audit entry waits in the spool, because the audit log could
    /// not be written, for this reason.
    Spooled(String),
    /// As [`Outcome::Clean`], but the audit entry could not be written, for this reason.
    Unrecorded(String),
    /// The VF was not changed, for this reason: it is foreign, or its container is still running.
    Left(String),
    /// Another tool had changed these settings of an attached VF. They were set back.
    SetBack(String),
    /// The VF of a running container may not have been promiscuous, for this reason. It was re-armed.
    Rearmed(String),
    /// The VF of a running container may not be promiscuous, for this reason, and could not be
    /// re-armed yet.
    Blind(String),
    /// The container lost its VF. It keeps running without the VF, or was stopped.
    Lost(String),
    /// As [`Outcome::Lost`], but an earlier check has found and recorded the loss.
    StillLost(String),
    /// The VF could not be cleaned. It cannot be claimed before it is repaired.
    Quarantined(String),
    /// The claim cannot be read. The VF was not changed and cannot be claimed.
    Unreadable(String),
}

impl Outcome {
    /// The outcome as one word, and the reason.
    pub fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Clean => ("clean", None),
            Self::Spooled(reason) | Self::Unrecorded(reason) => ("clean", Some(reason)),
            Self::Left(reason) => ("left", Some(reason)),
            Self::SetBack(reason) => ("set back", Some(reason)),
            Self::Rearmed(reason) => ("re-armed", Some(reason)),
            Self::Blind(reason) => ("blind", Some(reason)),
            Self::Lost(reason) | Self::StillLost(reason) => ("lost", Some(reason)),
            Self::Quarantined(reason) => ("quarantined", Some(reason)),
            Self::Unreadable(reason) => ("unreadable", Some(reason)),
        }
    }
}

impl Released {
    /// A message for the engine that removes the container: the problem with this VF and the
    /// remedy. `None` if the VF is clean and the audit log is complete.
    pub fn complaint(&self) -> Option<String> {
        let Self { vf, interface, container, outcome } = self;
        let (_, reason) = outcome.parts();
        let status = match outcome {
            Outcome::Clean => return None,
            Outcome::Spooled(_) => "is clean, but its audit entry waits for `runvfctl gc`",
            Outcome::Unrecorded(_) => "is clean, but has no audit entry",
            Outcome::Left(_) => "was not released",
            Outcome::SetBack(_) => "was set back",
            Outcome::Rearmed(_) => "was re-armed",
            Outcome::Blind(_) => "may not be promiscuous",
            Outcome::Lost(_) | Outcome::StillLost(_) => "is lost",
            Outcome::Quarantined(_) => "is quarantined",
            Outcome::Unreadable(_) => "was not released and keeps its VLAN",
        };
        let remedy = match outcome {
            Outcome::Quarantined(_) => format!("; run `runvfctl repair {vf}` to clean it"),
            Outcome::Left(_) => "; `runvfctl gc` tries again".to_owned(),
            _ => String::new(),
        };
        Some(format!("VF {vf} ({interface} of {container}) {status}: {}{remedy}", reason?))
    }

    /// The outcome for a claim that cannot be read: nothing was changed.
    pub(crate) fn unreadable(error: &Error) -> Self {
        let (path, container, interface) = match error {
            Error::Ledger(LedgerError::NewerClaim { path, container, interface, .. }) => {
                (path.as_path(), container.clone(), interface.clone())
            }
            Error::Ledger(LedgerError::BadClaim { path, .. }) => {
                (path.as_path(), String::new(), String::new())
            }
            _ => (Path::new(""), String::new(), String::new()),
        };
        let vf = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { vf, interface, container, outcome: Outcome::Unreadable(error.line()) }
    }

    pub(crate) fn of(claim: &Claim, outcome: Outcome) -> Self {
        let Claim { vf, interface, container, .. } = claim.clone();
        Self { vf, interface, container, outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaint_names_the_vf_the_reason_and_the_remedy() {
        let complaint = |outcome| {
            let (vf, interface, container) = ("0000:01:10.0".into(), "mon0".into(), "c".into());
            Released { vf, interface, container, outcome }.complaint()
        };
        assert_eq!(complaint(Outcome::Clean), None);
        let unrecorded = complaint(Outcome::Unrecorded("disk full".into())).unwrap();
        assert_eq!(
            unrecorded,
            "VF 0000:01:10.0 (mon0 of c) is clean, but has no audit entry: disk full"
        );
        let spooled = complaint(Outcome::Spooled("disk full".into())).unwrap();
        assert_eq!(
            spooled,
            "VF 0000:01:10.0 (mon0 of c) is clean, but its audit entry waits for `runvfctl gc`: \
             disk full"
        );
        let left = complaint(Outcome::Left("process 7 of the container is running".into()));
        assert_eq!(
            left.unwrap(),
            "VF 0000:01:10.0 (mon0 of c) was not released: process 7 of the container is running; \
             `runvfctl gc` tries again"
        );
        let quarantined = complaint(Outcome::Quarantined("it has no driver".into())).unwrap();
        assert_eq!(
            quarantined,
            "VF 0000:01:10.0 (mon0 of c) is quarantined: it has no driver; \
             run `runvfctl repair 0000:01:10.0` to clean it"
        );
    }
}
