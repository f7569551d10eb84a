//! What a command prints.

use std::io::Write as _;

use crate::error::Error;

pub(crate) fn print(text: &str) -> Result<(), Error> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(|source| Error::Stdout { source })
}
