//! The errors that end the monitor. An error on one VF ends nothing: it is logged and counted.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}: {problem}", path.display())]
    BadConfig { path: PathBuf, problem: String },
    #[error("cannot read {}: {source}", path.display())]
    ReadConfig { path: PathBuf, source: io::Error },
    #[error("cannot start the event loop: {0}")]
    Runtime(io::Error),
    #[error("cannot listen to events: {0}")]
    Events(io::Error),
    #[error("{}", .0.line())]
    Vf(#[from] vf::Error),
}
