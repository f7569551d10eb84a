//! Shell completions and manual pages, generated from the definition of the command line.

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use clap::Command;

use crate::error::Error;

pub(crate) fn complete(mut command: Command, shell: clap_complete::Shell) -> ExitCode {
    // Into memory first, because clap_complete panics on a write error. A closed pipe is not an
    // error.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "runvfctl", &mut script);
    let _ = stdout().write_all(&script);
    ExitCode::SUCCESS
}

/// Writes a page for the program, and one for each of its commands.
pub(crate) fn write(command: Command, dir: &Path) -> Result<ExitCode, Error> {
    clap_mangen::generate_to(command, dir).map_err(Error::file("write manual pages to", dir))?;
    Ok(ExitCode::SUCCESS)
}
