//! The owner of a container's standard streams. runc gives them to the process's user
//! (`fixStdioPermissions`); libcontainer does not change them. An engine creates the pipes as root,
//! so without this step a process of another user cannot reopen `/dev/stderr`. Many images write
//! their log that way.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::errno::Errno;
use nix::sys::stat::makedev;
use nix::unistd::{Uid, chown};

use crate::error::Error;

/// Makes `owner`, a uid of the host, the owner of the standard streams of `/proc/{process}`. A
/// stream keeps its owner if the file system does not allow a change, for example on a read-only
/// mount.
///
/// The group does not change, because devpts sets the group of a terminal (its option `gid=`).
pub(crate) fn set_owner(process: impl Display, owner: u32) -> Result<(), Error> {
    for number in 0..=2 {
        let path = format!("/proc/{process}/fd/{number}");
        // The stream may be closed.
        let Ok(found) = fs::metadata(&path) else { continue };
        // The host's own /dev/null keeps its owner, because all processes of the host use it.
        if found.uid() == owner || found.rdev() == makedev(1, 3) {
            continue;
        }
        match chown(path.as_str(), Some(Uid::from_raw(owner)), None) {
            Ok(()) | Err(Errno::EINVAL | Errno::EPERM | Errno::EROFS) => {}
            Err(errno) => return Err(Error::file("change the owner of", path)(errno.into())),
        }
    }
    Ok(())
}
