//! The error type of the hooks. It wraps the errors of the library.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read the container state from stdin")]
    Unreadable(#[source] std::io::Error),
    #[error("the container state on stdin is empty")]
    Empty,
    #[error("the container state on stdin is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the container state on stdin is not valid")]
    Malformed(#[source] serde_json::Error),
    #[error("cannot read {}", .path.display())]
    UnreadableBundle { path: PathBuf, source: std::io::Error },
    #[error("{} is not valid", .path.display())]
    MalformedBundle { path: PathBuf, source: serde_json::Error },
    #[error("cannot read {}", .path.display())]
    UnreadableConfig { path: PathBuf, source: std::io::Error },
    #[error("{}: {problem}", .path.display())]
    BadConfig { path: PathBuf, problem: String },
    #[error("the state of container {0} has no pid")]
    NoProcess(String),
    #[error(transparent)]
    Vf(#[from] vf::Error),
}

const HINT: &str = "runvf-hook is run by container engines, see /usr/share/containers/oci/hooks.d";

impl Error {
    /// The error and its causes on one line.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Vf(error) => error.line(),
            Self::UnreadableConfig { .. } | Self::BadConfig { .. } => {
                vf::one_line(self, Some(vf::MANUAL))
            }
            _ => vf::one_line(self, Some(HINT)),
        }
    }
}
