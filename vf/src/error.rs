//! The error type of this crate. Each wing has its own error type in its `error.rs`.
//!
//! A variant names the operation that failed and its object (annotation, file, PF, PCI address).
//! The cause is in `source`; [`Error::line`] prints it once.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::kernel::error::{KernelError, errno_of};
use crate::ledger::error::LedgerError;
use crate::lifecycle::error::LifecycleError;
use crate::nic::error::NicError;
use crate::operator::error::OperatorError;
use crate::policy::error::PolicyError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Nic(#[from] NicError),
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    #[error(transparent)]
    Operator(#[from] OperatorError),
}

impl Error {
    /// Builds a [`KernelError::File`] from an I/O error.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl Fn(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Kernel(KernelError::File { action, path: path.clone(), source })
    }

    /// As [`Error::file`], from an errno.
    pub(crate) fn errno(action: &'static str, path: impl Into<PathBuf>) -> impl Fn(Errno) -> Self {
        let path = path.into();
        move |errno| {
            let (path, source) = (path.clone(), errno.into());
            Self::Kernel(KernelError::File { action, path, source })
        }
    }

    /// The errno of a failed operation on a file; `None` for any other error.
    pub(crate) fn file_errno(&self) -> Option<Errno> {
        match self {
            Self::Kernel(KernelError::File { source, .. }) => errno_of(source),
            _ => None,
        }
    }

    /// The remedy, in words for the operator.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Kernel(error) => error.hint(),
            Self::Policy(error) => error.hint(),
            Self::Ledger(error) => error.hint(),
            Self::Nic(error) => error.hint(),
            Self::Lifecycle(error) => error.hint(),
            Self::Operator(error) => error.hint(),
        }
    }

    /// The error, its causes and the hint on one line.
    pub fn line(&self) -> String {
        one_line(self, self.hint().as_deref())
    }
}

/// Prints an error, its causes and a remedy on one line, because engines relay one line only.
/// Control characters become blanks.
pub fn one_line(error: &dyn std::error::Error, hint: Option<&str>) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors, libcontainer's among them, already contain the text of their cause.
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    if let Some(hint) = hint {
        line.push_str("; ");
        line.push_str(hint);
    }
    line.replace(char::is_control, " ")
}
