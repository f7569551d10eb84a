//! What a symlink in an image could lead libcontainer to, since it follows some by their path and not below the root. It
//! reads the spec itself, so nothing can be put right here: such a container is refused before anything is touched.
//!
//! - `/dev`: the links that libcontainer puts there (`dev/fd`, `dev/ptmx`, …) would be made on the host, and a file of
//!   the host's that is named `ptmx` would be removed (`rootfs/symlink.rs`). runc 1.1 does that.
//! - A mount's destination that leads into `/proc`: it would hide what masked and read-only paths are to protect, as in
//!   CVE-2019-16884. libcontainer looks at the destination as written (`mount.rs`, `check_proc_mount`), runc where it leads.
//! - A masked path: libcontainer covers the link alone, runc what it leads to.
//!
//! Links in what is mounted below another mount are not seen here; those lead nowhere outside of the root.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::Spec;
use safe_path::scoped_resolve;

use crate::error::Error;

pub(crate) fn check(spec: &Spec, rootfs: &Path) -> Result<(), Error> {
    let bad = |path: &Path, problem| {
        let path = rootfs.join(path.strip_prefix("/").unwrap_or(path));
        Err(Error::BadRootfs { path, problem })
    };
    if fs::symlink_metadata(rootfs.join("dev")).is_ok_and(|found| found.is_symlink()) {
        return bad(Path::new("dev"), "is a symlink; make it a folder");
    }
    for mount in spec.mounts().iter().flatten() {
        let written = mount.destination();
        if !written.starts_with("/proc") && leads_to(rootfs, written)?.starts_with("proc") {
            return bad(written, "leads into /proc, where nothing may be mounted");
        }
    }
    let linux = spec.linux().as_ref();
    for masked in linux.and_then(|linux| linux.masked_paths().as_ref()).into_iter().flatten() {
        if is_link(rootfs, Path::new(masked))? {
            return bad(Path::new(masked), "is a symlink; mask what it leads to");
        }
    }
    Ok(())
}

/// Below the root, and without links; what does not exist counts as a folder.
fn leads_to(rootfs: &Path, path: &Path) -> Result<PathBuf, Error> {
    scoped_resolve(rootfs, path).map_err(Error::file("resolve", rootfs.join(path)))
}

fn is_link(rootfs: &Path, path: &Path) -> Result<bool, Error> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
    let found = fs::symlink_metadata(rootfs.join(leads_to(rootfs, parent)?).join(name));
    Ok(found.is_ok_and(|found| found.is_symlink()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn refused(links: &[(&str, &str)], destination: &str, masked: &str) -> Option<String> {
        let root = tempfile::tempdir().unwrap();
        for (link, target) in links {
            symlink(target, root.path().join(link)).unwrap();
        }
        let spec = serde_json::json!({
            "ociVersion": "1.0.2", "mounts": [{"destination": destination}], "linux": {"maskedPaths": [masked]},
        });
        let error = check(&serde_json::from_value(spec).unwrap(), root.path()).err()?;
        let line = error.to_string();
        Some(line.strip_prefix(root.path().to_str().unwrap()).unwrap().to_owned())
    }

    #[test]
    fn dev_is_no_link() {
        let line = refused(&[("dev", "/etc")], "/tmp", "/x").unwrap();
        assert_eq!(line, "/dev is a symlink; make it a folder");
    }

    #[test]
    fn no_destination_leads_into_proc_but_by_its_name() {
        let told = |path: &str| format!("{path} leads into /proc, where nothing may be mounted");
        assert_eq!(refused(&[("a", "/proc")], "/a/sys", "/x"), Some(told("/a/sys")));
        assert_eq!(refused(&[("a", "b"), ("b", "../../proc")], "/a", "/x"), Some(told("/a")));
        assert_eq!(refused(&[("a", "/b/proc")], "/a", "/x"), None);
        // libcontainer's own to judge.
        assert_eq!(refused(&[], "/proc/stat", "/proc/kcore"), None);
    }

    #[test]
    fn a_masked_path_is_no_link_but_may_lead_through_one() {
        let line = refused(&[("a", "/b")], "/tmp", "/a").unwrap();
        assert_eq!(line, "/a is a symlink; mask what it leads to");
        assert_eq!(refused(&[("a", "/b")], "/tmp", "/a/c"), None);
    }
}
