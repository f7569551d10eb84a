//! What shells and people read about the command line, made from its one definition.

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::Arguments;
use crate::error::Error;

pub(crate) fn complete(shell: clap_complete::Shell) -> ExitCode {
    // Into memory first: clap_complete panics when it cannot write, and a closed pipe is the reader's business.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "runvf", &mut script);
    let _ = stdout().write_all(&script);
    ExitCode::SUCCESS
}

/// A page for the program, and one for each of its commands.
pub(crate) fn write(folder: &Path) -> Result<ExitCode, Error> {
    clap_mangen::generate_to(Arguments::command(), folder)
        .map_err(Error::file("write manual pages to", folder))?;
    Ok(ExitCode::SUCCESS)
}
