//! Reads small files of `/proc` and `/sys` with one read(2), because the kernel reports no size for
//! them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The maximum size of a sysfs attribute, in bytes: one page.
const PAGE_SIZE: usize = 4096;

/// Returns the text of a file that is smaller than a page. `fs::read_to_string` would need several
/// reads, because it starts with a buffer of 32 bytes and doubles it.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut page = [0; PAGE_SIZE];
    let length = File::open(path)?.read(&mut page)?;
    // `/proc/PID/stat` contains the process name, which need not be UTF-8.
    Ok(String::from_utf8_lossy(&page[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_returns_the_whole_file() {
        let stat = read(Path::new("/proc/self/stat")).unwrap();
        assert!(stat.ends_with('\n') && stat.split(' ').count() > 40, "{stat}");
        assert_eq!(read(Path::new("/nope")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
