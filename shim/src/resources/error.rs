//! The errors of limits. Each names the field below `linux.resources`.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(super) enum LimitError {
    #[error("linux.resources.{field}: {problem}")]
    Field { field: String, problem: String },
    #[error("linux.resources.{field}: cannot write `{value}` to {}", .path.display())]
    Write { field: String, value: String, path: PathBuf, source: io::Error },
    #[error(
        "linux.resources.{field}: {} contains `{found}` after `{wanted}` was written to it",
        .path.display()
    )]
    ReadBack { field: String, wanted: String, found: String, path: PathBuf },
    #[error("systemd does not set the limits of {unit}: {problem}")]
    Systemd { unit: String, problem: String },
}

impl LimitError {
    pub(super) fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }
}

/// Converts the error of a conversion to the error of a field.
pub(super) fn in_field<T>(field: &str, result: Result<T, String>) -> Result<T, LimitError> {
    result.map_err(|problem| LimitError::field(field, problem))
}
