//! The sysfs of a network namespace.
//!
//! A mount of sysfs shows only the netdevs of the network namespace where it was made
//! (`sysfs_init_fs_context`, `fs/sysfs/mount.c`). So it tells which netdev a PCI function has in a
//! namespace without a list of all links there, which a container can make as long as it likes.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::sysfs::Sysfs;

/// A mount without a place in the file tree. It ends with this value.
pub(crate) struct NetnsSysfs {
    _mount: OwnedFd,
    pub(crate) sysfs: Sysfs,
}

impl NetnsSysfs {
    /// Mounts the sysfs of the calling thread's network namespace.
    ///
    /// # Errors
    /// [`KernelError::Call`].
    pub(crate) fn mount() -> Result<Self, Error> {
        let mount = mount_sysfs().map_err(|errno| {
            let action = "mount the sysfs of a network namespace";
            Error::Kernel(KernelError::Call {
                action,
                source: Errno::from_raw(errno.raw_os_error()),
            })
        })?;
        let sysfs = Sysfs(PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd())));
        Ok(Self { _mount: mount, sysfs })
    }
}

fn mount_sysfs() -> Result<OwnedFd, rustix::io::Errno> {
    let context = fsopen("sysfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    let flags = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
}
