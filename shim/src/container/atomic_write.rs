//! Writes files that another process may read at any time.

use std::fs;
use std::path::Path;

use crate::error::Error;

/// Writes a file through a temporary file and rename(2), so that a reader never sees a part of the
/// content.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    fs::write(&temporary, content).map_err(Error::file("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::file("write", path))
}
