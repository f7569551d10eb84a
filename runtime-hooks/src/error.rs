//! What can go wrong in a hook, beside what goes wrong with a VF.

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the container's state on stdin cannot be read")]
    Unreadable(#[source] std::io::Error),
    #[error("the container's state on stdin is empty")]
    Empty,
    #[error("the container's state on stdin is larger than {0} bytes")]
    Huge(u64),
    #[error("the container's state on stdin is not what the OCI runtime spec says")]
    Malformed(#[source] serde_json::Error),
    #[error("the state of container {0} names no process")]
    NoProcess(String),
    #[error(transparent)]
    Vf(#[from] vf::Error),
}

impl Error {
    /// The error and its causes on one line.
    pub(crate) fn line(&self) -> String {
        let line = match self {
            Self::Vf(error) => return error.line(),
            Self::Unreadable(source) => format!("{self}: {source}"),
            Self::Malformed(source) => format!("{self}: {source}"),
            _ => self.to_string(),
        };
        format!(
            "{line}; runvf-hook is run by a container engine, see /usr/share/containers/oci/hooks.d"
        )
    }
}
