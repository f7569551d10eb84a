use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::command::Output;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot start `{program}`: {source}")]
    Spawn { program: String, source: io::Error },
    #[error("{what}: not done after {} s\n{so_far}", after.as_secs())]
    Timeout { what: String, after: Duration, so_far: String },
    #[error("{what} failed; the whole log is {log}\n{tail}", log = log.display())]
    Build { what: String, log: PathBuf, tail: String },
    #[error("the guest's `{command}` failed\n{output}\ntranscript: {}", transcript.display())]
    Command { command: String, output: Output, transcript: PathBuf },
    #[error("the guest's `{command}` did not print JSON: {source}\n{output}")]
    Json { command: String, output: Output, source: serde_json::Error },
    #[error("QEMU: {what}\n{console}")]
    Machine { what: String, console: String },
    #[error("QMP {command}: {what}")]
    Qmp { command: String, what: String },
    #[error("the lab is not running; start it with `lab up --detach`")]
    Down,
    #[error("traffic: {0}")]
    Traffic(String),
}

/// A test that returns an `Err` is reported by `Debug`, and the command and its output must be
/// readable there.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An I/O error alone does not say which file it was.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File { path, source }
}
