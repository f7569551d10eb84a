//! `completion` and `man`: shell completions and man pages, generated from the definition of the
//! command line.

use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::cli::Arguments;
use crate::error::Error;

pub(crate) fn complete(shell: clap_complete::Shell) -> ExitCode {
    // The script is generated into memory first, because clap_complete panics if it cannot write. A
    // closed pipe is not an error.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "runvf", &mut script);
    let _ = stdout().write_all(&script);
    ExitCode::SUCCESS
}

/// Writes a man page for the program and one for each of its commands.
pub(crate) fn write(folder: &Path) -> Result<ExitCode, Error> {
    clap_mangen::generate_to(Arguments::command(), folder)
        .map_err(Error::file("write manual pages to", folder))?;
    Ok(ExitCode::SUCCESS)
}
