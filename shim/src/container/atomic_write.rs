//! Files that another process waits for or may read at any time.

use std::fs;
use std::path::Path;

use crate::error::Error;

/// Writes a file whole: whoever looks for it never sees half of it.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    fs::write(&temporary, content).map_err(Error::file("write", &temporary))?;
    fs::rename(&temporary, path).map_err(Error::file("write", path))
}
