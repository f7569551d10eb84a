//! The output of a command.

use std::io::Write as _;

use crate::error::Error;

/// Prints a line to stdout. A closed stdout is an error, not a panic.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(|source| Error::Stdout { source })
}
