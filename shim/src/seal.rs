//! CVE-2019-5736: a process of a container may write to the program that entered it, through its /proc/PID/exe. So the commands
//! that enter one run from something that nobody can write to.
//!
//! That is the program itself, seen through an overlay that has no upper layer: its superblock is read-only for ever, whatever
//! the container may do to mounts, and it is mounted nowhere. A copy in a sealed memfd does the same, and costs an emulated CPU a
//! fifth of a whole `run`; it is for hosts without overlayfs or fsopen(2) (Linux 5.2).

use std::env;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::fexecve;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, openat, statfs, statvfs};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use crate::error::Error;

const PROGRAM: &str = "/proc/self/exe";
/// The second layer that an overlay without an upper one needs. Nothing is ever put into it.
const EMPTY_LAYER: &str = "/run/runvf/nothing";
/// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
const OVERLAYFS_MAGIC: i64 = 0x794c_7630;

/// Returns once the program runs from where nobody can write to it: at once, or in another exec of itself.
pub(crate) fn ensure() -> Result<(), Error> {
    if !runs_from_overlay().map_err(|source| Error::Seal { source })? {
        if let Ok(program) = overlay() {
            return execute(&program);
        }
        pentacle::ensure_sealed().map_err(|source| Error::Seal { source })?;
    }
    // Either way it has no path that means anything, and the kernel named the process by its descriptor's number.
    nix::sys::prctl::set_name(c"runvf").map_err(Error::kernel("name this process"))
}

/// A read-only overlay may also be what the host boots from. Ours is mounted nowhere, so its path leads to no file, or to another.
fn runs_from_overlay() -> io::Result<bool> {
    let read_only = statvfs(PROGRAM)?.f_flag.contains(StatVfsMountFlags::RDONLY);
    if !read_only || statfs(PROGRAM)?.f_type as i64 != OVERLAYFS_MAGIC {
        return Ok(false);
    }
    let (here, this) = (fs::metadata(fs::read_link(PROGRAM)?), fs::metadata(PROGRAM)?);
    Ok(here.map_or(true, |here| (here.dev(), here.ino()) != (this.dev(), this.ino())))
}

fn overlay() -> io::Result<OwnedFd> {
    let program = fs::read_link(PROGRAM)?;
    let none = || io::Error::from(io::ErrorKind::NotFound);
    let (folder, name) =
        (program.parent().ok_or_else(none)?, program.file_name().ok_or_else(none)?);
    // What separates layers, and what escapes that.
    if folder.as_os_str().as_bytes().iter().any(|byte| b":\\,".contains(byte)) {
        return Err(none());
    }
    fs::create_dir_all(EMPTY_LAYER)?;
    let mount = mount(&[folder, Path::new(EMPTY_LAYER)])?;
    let sealed = openat(&mount, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(sealed)
}

fn mount(layers: &[&Path]) -> io::Result<OwnedFd> {
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let layers: Vec<&OsStr> = layers.iter().map(|layer| layer.as_os_str()).collect();
    fsconfig_set_string(&overlay, "lowerdir", layers.join(OsStr::new(":")))?;
    fsconfig_create(&overlay)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn execute(program: &OwnedFd) -> Result<(), Error> {
    let words =
        |all: Vec<Vec<u8>>| all.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
    let arguments = words(env::args_os().map(OsStringExt::into_vec).collect());
    let variables = env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name.into_vec()
    });
    let (Ok(arguments), Ok(variables)) = (arguments, words(variables.collect())) else {
        return Err(Error::Seal { source: io::ErrorKind::InvalidInput.into() });
    };
    match fexecve(program, &arguments, &variables) {
        Ok(never) => match never {},
        Err(errno) => Err(Error::Seal { source: errno.into() }),
    }
}
