//! A root file system on a mount with `noexec`, as `/run` is on many hosts. crun, and runc for a
//! read-only root, remount it with their own flags, so the container's programs can run.
//! libcontainer binds the root with the existing flags, and no program in the container could be
//! executed. So runvf binds the root over itself without `noexec` before libcontainer forks.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::Spec;
use nix::mount::MsFlags;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::private_mountns::{self, PrivateMountNs};
use super::proc_guard::normalize;
use crate::error::Error;

/// The path of a bundle's root file system.
pub(crate) fn path_of(spec: &Spec, bundle: &Path) -> PathBuf {
    let path = spec.root().as_ref().map(|root| bundle.join(root.path())).unwrap_or_default();
    fs::canonicalize(&path).unwrap_or(path)
}

/// Refuses a root file system if its path leads through a symlink, as runc does.
pub(crate) fn check(spec: &Spec, bundle: &Path) -> Result<(), Error> {
    let Some(root) = spec.root() else { return Ok(()) };
    let path = normalize(&bundle.join(root.path()));
    match fs::canonicalize(&path) {
        Ok(real) if real != path => {
            let problem = "leads through a symlink; name the folder itself in root.path";
            Err(Error::BadRootfs { path, problem })
        }
        // libcontainer reports a missing root.
        _ => Ok(()),
    }
}

/// Returns the flags of the root's mount if they contain `noexec` and the container has a new mount
/// namespace.
pub(crate) fn noexec_flags(spec: &Spec, rootfs: &Path) -> Option<FsFlags> {
    // libcontainer reports a missing root.
    let flags = statvfs(rootfs).ok()?.flags();
    (flags.contains(FsFlags::ST_NOEXEC) && private_mountns::is_created_by(spec)).then_some(flags)
}

/// Binds the root over itself without `noexec`. `flags`: from [`noexec_flags`].
pub(crate) fn allow_execution(
    mountns: &PrivateMountNs,
    rootfs: &Path,
    flags: FsFlags,
) -> Result<(), Error> {
    mountns.bind(rootfs, rootfs, MsFlags::MS_REC)?;
    mountns.set_flags(rootfs, without_noexec(flags))
}

/// The flags of a mount without `noexec`. The flags of the access time are omitted, because a
/// remount keeps them then (mount(2)).
fn without_noexec(flags: FsFlags) -> MsFlags {
    let pairs = [
        (FsFlags::ST_RDONLY, MsFlags::MS_RDONLY),
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
    ];
    pairs.iter().filter(|(one, _)| flags.contains(*one)).map(|(_, flag)| *flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_a_folder_and_no_symlink() {
        let bundle = tempfile::tempdir().unwrap();
        let bundle = fs::canonicalize(bundle.path()).unwrap();
        fs::create_dir_all(bundle.join("rootfs/data")).unwrap();
        std::os::unix::fs::symlink("rootfs", bundle.join("link")).unwrap();
        let check = |path: &Path| {
            let spec = serde_json::json!({ "ociVersion": "1.0.2", "root": { "path": path } });
            check(&serde_json::from_value(spec).unwrap(), &bundle).is_ok()
        };
        for path in ["rootfs", "./rootfs/", "rootfs/../rootfs", "missing"] {
            assert!(check(Path::new(path)) && check(&bundle.join(path)), "{path}");
        }
        for path in ["link", "link/data", "../../proc/self/root"] {
            assert!(!check(Path::new(path)) || path.starts_with(".."), "{path}");
        }
    }

    #[test]
    fn only_noexec_is_dropped() {
        let all = FsFlags::ST_NOEXEC | FsFlags::ST_NOSUID | FsFlags::ST_NODEV;
        assert_eq!(without_noexec(all), MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    }
}
