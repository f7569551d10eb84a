use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::output::Output;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot start `{program}`: {source}")]
    Spawn { program: String, source: io::Error },
    #[error("{what}: timed out after {} s\n{so_far}", after.as_secs())]
    Timeout { what: String, after: Duration, so_far: String },
    #[error("{what} failed; the full log is {log}\n{tail}", log = log.display())]
    Build { what: String, log: PathBuf, tail: String },
    #[error("`{command}` failed in the guest\n{output}\ntranscript: {}", transcript.display())]
    Command { command: String, output: Output, transcript: PathBuf },
    #[error("`{command}` did not print JSON in the guest: {source}\n{output}")]
    Json { command: String, output: Output, source: serde_json::Error },
    #[error("QEMU: {what}\n{console}")]
    Machine { what: String, console: String },
    #[error("QMP {command}: {what}")]
    Qmp { command: String, what: String },
    #[error("no guest is running; start one with `lab up --detach`")]
    NotRunning,
    #[error("traffic: {0}")]
    Traffic(String),
}

/// The test harness prints the `Err` of a test with `Debug`; the command and its output must be
/// readable there.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Adds the path to an I/O error, which does not contain it.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File { path, source }
}
