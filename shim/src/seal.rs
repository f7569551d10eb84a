//! Protection against CVE-2019-5736: a process in a container can write to the program that entered
//! the container, through /proc/PID/exe. The commands that enter a container therefore run from a
//! read-only copy of the program.
//!
//! The copy is the program itself, seen through an overlay without an upper layer. The superblock
//! of such an overlay is always read-only, so the container cannot remount it writable, and the
//! overlay is mounted at no path. On a host without overlayfs or fsopen(2) (Linux 5.2), the copy is
//! a sealed memfd. The memfd is the second choice because it is slower: on an emulated CPU it takes
//! a fifth of the time of a whole `run`.

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
/// An empty folder. An overlay without an upper layer needs at least two lower layers.
const EMPTY_LAYER: &str = "/run/runvf/nothing";
/// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
const OVERLAYFS_MAGIC: i64 = 0x794c_7630;

/// Ensures that this process runs from a read-only copy of its program. If it does not yet, the
/// function executes the copy.
pub(crate) fn ensure() -> Result<(), Error> {
    if !runs_from_overlay().map_err(|source| Error::Seal { source })? {
        if let Ok(program) = open_in_overlay() {
            return execute(&program);
        }
        pentacle::ensure_sealed().map_err(|source| Error::Seal { source })?;
    }
    // The copy was executed by its descriptor, so the kernel named this process after the
    // descriptor's number.
    nix::sys::prctl::set_name(c"runvf").map_err(Error::kernel("name this process"))
}

/// Whether the program is in runvf's overlay. The root file system of the host may be a read-only
/// overlay too. But runvf's overlay is mounted at no path, so the path of the program leads to no
/// file or to a different file.
fn runs_from_overlay() -> io::Result<bool> {
    let read_only = statvfs(PROGRAM)?.f_flag.contains(StatVfsMountFlags::RDONLY);
    if !read_only || statfs(PROGRAM)?.f_type as i64 != OVERLAYFS_MAGIC {
        return Ok(false);
    }
    let (at_path, program) = (fs::metadata(fs::read_link(PROGRAM)?), fs::metadata(PROGRAM)?);
    let program = (program.dev(), program.ino());
    Ok(at_path.map_or(true, |at_path| (at_path.dev(), at_path.ino()) != program))
}

/// Opens the program in a new overlay over its folder.
fn open_in_overlay() -> io::Result<OwnedFd> {
    let program = fs::read_link(PROGRAM)?;
    let not_found = || io::Error::from(io::ErrorKind::NotFound);
    let folder = program.parent().ok_or_else(not_found)?;
    let name = program.file_name().ok_or_else(not_found)?;
    // These bytes separate or escape the paths of layers in the mount option.
    if folder.as_os_str().as_bytes().iter().any(|byte| b":\\,".contains(byte)) {
        return Err(not_found());
    }
    fs::create_dir_all(EMPTY_LAYER)?;
    let mount = mount_overlay(&[folder, Path::new(EMPTY_LAYER)])?;
    let sealed = openat(&mount, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(sealed)
}

fn mount_overlay(layers: &[&Path]) -> io::Result<OwnedFd> {
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
    let c_strings =
        |all: Vec<Vec<u8>>| all.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
    let arguments = c_strings(env::args_os().map(OsStringExt::into_vec).collect());
    let variables = env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name.into_vec()
    });
    let (Ok(arguments), Ok(variables)) = (arguments, c_strings(variables.collect())) else {
        return Err(Error::Seal { source: io::ErrorKind::InvalidInput.into() });
    };
    match fexecve(program, &arguments, &variables) {
        Ok(never) => match never {},
        Err(errno) => Err(Error::Seal { source: errno.into() }),
    }
}
