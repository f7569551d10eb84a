//! Refuses to write, as root, into a folder where another user can replace files: that user could
//! redirect the write to any file.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;

use super::root::Root;
use crate::error::Error;

/// Checks `dir`, a resolved path, and the folders above it up to the root.
pub(super) fn check(root: &Root, dir: &Path) -> Result<(), Error> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let top = root.resolve("/")?;
    let folders = dir.ancestors().take_while(|folder| folder.starts_with(&top));
    for (level, folder) in folders.enumerate() {
        let metadata = match fs::symlink_metadata(folder) {
            Ok(metadata) => metadata,
            // runvfctl creates it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::file("inspect", folder)(error)),
        };
        // In a sticky folder such as /tmp, other users cannot replace a folder of root, but they can
        // create files.
        let is_sticky = level > 0 && metadata.mode() & 0o1000 != 0;
        let writable_by_others = metadata.mode() & 0o022 != 0 && !is_sticky;
        if metadata.uid() != 0 || writable_by_others {
            return Err(Error::Conflict {
                problem: format!(
                    "cannot write to {}: users other than root can replace files in {}",
                    dir.display(),
                    folder.display()
                ),
                hint: format!("`chown root:root {0} && chmod go-w {0}`", folder.display()),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;

    #[test]
    fn folder_that_another_user_can_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let (etc, docker) = (dir.path().join("etc"), dir.path().join("etc/docker"));
        fs::create_dir_all(&docker).unwrap();
        let refused = |culprit: &Path| {
            let line = check(&root, &docker.join("new")).unwrap_err().line();
            assert!(line.contains(&format!("replace files in {};", culprit.display())), "{line}");
        };
        let mode = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        check(&root, &docker.join("new")).unwrap();
        mode(&etc, 0o775);
        refused(&etc);
        mode(&etc, 0o1777);
        check(&root, &docker).unwrap();
        check(&root, &etc).unwrap_err();
        mode(&etc, 0o755);
        chown(&docker, Some(1000), None).unwrap();
        refused(&docker);
    }
}
