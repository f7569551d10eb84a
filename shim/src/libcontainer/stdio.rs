//! What a container's process reads from and writes to belongs to its user, as with runc (`fixStdioPermissions`). An engine makes pipes as
//! root, and whoever is not root could not open `/dev/stderr` anew, which is how many an image keeps its log. libcontainer leaves them.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::errno::Errno;
use nix::sys::stat::makedev;
use nix::unistd::{Uid, chown};

use crate::error::Error;

/// `process`: whose they are, as `/proc` calls it. `owner`: the user's number outside. What cannot have another owner, such as a file on a
/// read-only mount, keeps the one it has.
///
/// The group stays: a terminal has its own (`gid=` of devpts).
pub(crate) fn set_owner(process: impl Display, owner: u32) -> Result<(), Error> {
    for number in 0..=2 {
        let path = format!("/proc/{process}/fd/{number}");
        // It may be closed.
        let Ok(found) = fs::metadata(&path) else { continue };
        // The host's own /dev/null is everybody's.
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
