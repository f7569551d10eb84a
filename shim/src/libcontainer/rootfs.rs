//! A root file system on a mount that forbids execution, as `/run` is on many hosts. crun, and runc if the root is
//! read-only, remount it with flags of their own, and so it runs; libcontainer binds it with the flags that are there, and
//! nothing in such a container can be executed. So it is bound over itself without `noexec` before libcontainer forks.

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

/// The flags of its mount, if they forbid it.
pub(crate) fn noexec_flags(spec: &Spec, rootfs: &Path) -> Option<FsFlags> {
    // One that is not there is libcontainer's to complain of.
    let flags = statvfs(rootfs).ok()?.flags();
    (flags.contains(FsFlags::ST_NOEXEC) && private_mountns::is_created_by(spec)).then_some(flags)
}

pub(crate) fn allow_execution(
    mountns: &PrivateMountNs,
    rootfs: &Path,
    flags: FsFlags,
) -> Result<(), Error> {
    mountns.bind(rootfs, rootfs, MsFlags::MS_REC)?;
    mountns.set_flags(rootfs, kept(flags))
}

/// The flags of a mount but `noexec`. Those of the access time stay if they are not named, mount(2).
fn kept(flags: FsFlags) -> MsFlags {
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
        assert_eq!(kept(all), MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    }
}
