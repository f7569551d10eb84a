//! Writes files that another process may read at any time.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::Error;

/// Writes a file through a temporary file and rename(2), so that a reader never sees a part of the
/// content. A symlink at `path` is replaced and not followed.
///
/// The temporary file is a new one with a random name: the folder of a pid file may belong to
/// another user, who could otherwise put a symlink there. The file is not synced, because a pid and
/// a container's record mean nothing after a crash of the host.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    // Before the umask, as runc and fs::write do.
    builder.prefix(".runvf-").permissions(Permissions::from_mode(0o666));
    let write = || {
        let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(content)?;
        file.persist(path).map_err(|failed| failed.error)
    };
    write().map(drop).map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symlinks_at_the_path_and_beside_it_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("pid"), folder.path().join("victim"));
        fs::write(&victim, "root's").unwrap();
        for link in ["pid", "pid.new", ".pid"] {
            symlink(&victim, folder.path().join(link)).unwrap();
        }
        write_atomically(&path, b"7").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "root's");
        assert!(!path.is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "7");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
        assert!(write_atomically(&folder.path().join("none/pid"), b"7").is_err());
    }
}
