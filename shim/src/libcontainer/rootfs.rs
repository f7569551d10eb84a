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
use crate::error::Error;

/// The path of a bundle's root file system.
pub(crate) fn path_of(spec: &Spec, bundle: &Path) -> PathBuf {
    let path = spec.root().as_ref().map(|root| bundle.join(root.path())).unwrap_or_default();
    fs::canonicalize(&path).unwrap_or(path)
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
    fn only_noexec_is_dropped() {
        let all = FsFlags::ST_NOEXEC | FsFlags::ST_NOSUID | FsFlags::ST_NODEV;
        assert_eq!(without_noexec(all), MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    }
}
