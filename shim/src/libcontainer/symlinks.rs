//! Symlinks in an image that libcontainer handles unsafely, because it resolves some paths on the
//! host and not below the container's root. runvf refuses such a container before it changes
//! anything.
//!
//! - `/dev` is a symlink. libcontainer would create its links (`dev/fd`, `dev/ptmx`, …) on the host,
//!   and remove a file of the host with the name `ptmx` (`rootfs/symlink.rs`). runc 1.1 does the same.
//! - A masked path is a symlink. libcontainer masks only the link; runc masks its target.
//!
//! This check does not see symlinks inside mounted file systems. Those cannot lead out of the root.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::Spec;
use safe_path::scoped_resolve;

use crate::error::Error;

/// Refuses a spec and a root file system with such symlinks.
pub(crate) fn check(spec: &Spec, rootfs: &Path) -> Result<(), Error> {
    let bad = |path: &Path, problem| {
        let path = rootfs.join(path.strip_prefix("/").unwrap_or(path));
        Err(Error::BadRootfs { path, problem })
    };
    if fs::symlink_metadata(rootfs.join("dev")).is_ok_and(|found| found.is_symlink()) {
        return bad(Path::new("dev"), "is a symlink; replace it with a folder");
    }
    let linux = spec.linux().as_ref();
    for masked in linux.and_then(|linux| linux.masked_paths().as_ref()).into_iter().flatten() {
        if is_link(rootfs, Path::new(masked))? {
            return bad(Path::new(masked), "is a symlink; mask its target");
        }
    }
    Ok(())
}

/// Resolves a path below the root. The result is relative to the root and has no symlinks. A missing
/// component counts as a folder.
fn resolve(rootfs: &Path, path: &Path) -> Result<PathBuf, Error> {
    scoped_resolve(rootfs, path).map_err(Error::file("resolve", rootfs.join(path)))
}

fn is_link(rootfs: &Path, path: &Path) -> Result<bool, Error> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
    let found = fs::symlink_metadata(rootfs.join(resolve(rootfs, parent)?).join(name));
    Ok(found.is_ok_and(|found| found.is_symlink()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refused(links: &[(&str, &str)], masked: &str) -> Option<String> {
        let root = tempfile::tempdir().unwrap();
        for (link, target) in links {
            symlink(target, root.path().join(link)).unwrap();
        }
        let spec = serde_json::json!({
            "ociVersion": "1.0.2", "linux": {"maskedPaths": [masked]},
        });
        let error = check(&serde_json::from_value(spec).unwrap(), root.path()).err()?;
        let line = error.to_string();
        Some(line.strip_prefix(root.path().to_str().unwrap()).unwrap().to_owned())
    }

    #[test]
    fn a_symlink_as_dev_is_refused() {
        let line = refused(&[("dev", "/etc")], "/x").unwrap();
        assert_eq!(line, "/dev is a symlink; replace it with a folder");
    }

    #[test]
    fn a_masked_symlink_is_refused_but_its_parent_may_be_one() {
        let line = refused(&[("a", "/b")], "/a").unwrap();
        assert_eq!(line, "/a is a symlink; mask its target");
        assert_eq!(refused(&[("a", "/b")], "/a/c"), None);
    }
}
