//! The error type of this crate. Each wing has an error type of its own, in its `error.rs`, beside the code that fails.
//!
//! A variant is an operation that failed. It names its object (annotation, file, PF, PCI address) and leaves the cause to
//! `source`, which [`Error::line`] prints once.

use std::error::Error as _;
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
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl Fn(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Kernel(KernelError::File { action, path: path.clone(), source })
    }

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

    /// The remedy, for the person who reads the error.
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

    /// The error, its causes and the hint on one line, because engines relay one line only.
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        if let Some(hint) = self.hint() {
            line.push_str("; ");
            line.push_str(&hint);
        }
        line.replace(char::is_control, " ")
    }
}
