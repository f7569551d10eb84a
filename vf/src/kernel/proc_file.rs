//! Files of `/proc` and `/sys`, of which the kernel tells no size: all of one in one read(2).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A page, which is the most that an attribute of sysfs holds.
const PAGE: usize = 4096;

/// The text of a file that is smaller than a page. `fs::read_to_string` would begin with 32 bytes, and double them.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut page = [0; PAGE];
    let length = File::open(path)?.read(&mut page)?;
    // A process may have given itself a name that is no UTF-8.
    Ok(String::from_utf8_lossy(&page[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_is_read_whole() {
        let stat = read(Path::new("/proc/self/stat")).unwrap();
        assert!(stat.ends_with('\n') && stat.split(' ').count() > 40, "{stat}");
        assert_eq!(read(Path::new("/nope")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
