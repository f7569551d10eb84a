//! The owner of a container's standard streams. runc gives them to the process's user
//! (`fixStdioPermissions`); libcontainer does not change them. An engine creates the pipes as root,
//! so without this step a process of another user cannot reopen `/dev/stderr`. Many images write
//! their log that way.
//!
//! A process in the foreground without a terminal gets pipes instead of the operator's streams
//! (`tty/streams.rs`).

use std::fmt::Display;
use std::fs;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt as _;

use libcontainer::container::builder::ContainerBuilder;
use nix::errno::Errno;
use nix::sys::stat::makedev;
use nix::unistd::{Gid, Uid, chown};

use crate::error::Error;
use crate::tty::streams::ProcessEnds;

/// Makes `owner`, a uid of the host, the owner of the standard streams of `/proc/{process}`. A
/// stream keeps its owner if the file system does not allow a change, for example on a read-only
/// mount.
///
/// The group does not change, because devpts sets the group of a terminal (its option `gid=`).
pub(crate) fn set_owner(process: impl Display, owner: u32) -> Result<(), Error> {
    set_owner_of(&process, [0, 1, 2], owner, None)
}

/// Like [`set_owner`], for streams that runvf has created for a process. They also get a group of the
/// host, so that a user namespace does not show an unmapped group.
pub(crate) fn set_owner_of_ends(ends: &ProcessEnds, owner: u32, group: u32) -> Result<(), Error> {
    let numbers = ends.0.each_ref().map(AsRawFd::as_raw_fd);
    set_owner_of("self", numbers, owner, Some(Gid::from_raw(group)))
}

/// Gives streams to a process that libcontainer creates. It keeps runvf's own without `ends`.
pub(crate) fn connect(builder: ContainerBuilder, ends: Option<ProcessEnds>) -> ContainerBuilder {
    let Some(ProcessEnds([stdin, stdout, stderr])) = ends else { return builder };
    builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr)
}

fn set_owner_of(
    process: impl Display,
    numbers: [RawFd; 3],
    owner: u32,
    group: Option<Gid>,
) -> Result<(), Error> {
    for number in numbers {
        let path = format!("/proc/{process}/fd/{number}");
        // The stream may be closed.
        let Ok(found) = fs::metadata(&path) else { continue };
        // The host's own /dev/null keeps its owner, because all processes of the host use it.
        let has_group = group.is_none_or(|group| group.as_raw() == found.gid());
        if (found.uid() == owner && has_group) || found.rdev() == makedev(1, 3) {
            continue;
        }
        match chown(path.as_str(), Some(Uid::from_raw(owner)), group) {
            Ok(()) | Err(Errno::EINVAL | Errno::EPERM | Errno::EROFS) => {}
            Err(errno) => return Err(Error::file("change the owner of", path)(errno.into())),
        }
    }
    Ok(())
}
