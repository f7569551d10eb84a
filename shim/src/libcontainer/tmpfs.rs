//! What runc and crun do for a tmpfs and libcontainer does not.
//!
//! - `tmpcopyup`: it begins with what the image has in its place. Podman asks for it with every `--tmpfs`, and libcontainer hands it
//!   to the kernel, which refuses it. The files are copied while the init process waits.
//! - Without a `mode` it has that of the folder it covers. The kernel's own is 1777, so that anybody could write there.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use libcontainer::oci_spec::runtime::{Mount, Spec};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, StatxAttributes,
    StatxFlags, Uid, chmodat, chownat, fstatfs, mkdirat, mknodat, openat, openat2, readlinkat,
    statat, statx, symlinkat,
};
use rustix::io::Errno;
use safe_path::scoped_resolve;

use crate::error::Error;

const COPY_UP_OPTION: &str = "tmpcopyup";

/// The mounts as libcontainer can make them; `None`: as they are.
pub(crate) fn patch_mounts(spec: &Spec, rootfs: &Path) -> Option<Vec<Mount>> {
    let mut mounts = spec.mounts().clone()?;
    for mount in mounts.iter_mut().filter(|mount| mount.typ().as_deref() == Some("tmpfs")) {
        let mut options = mount.options().clone().unwrap_or_default();
        options.retain(|option| option != COPY_UP_OPTION);
        if !options.iter().any(|option| option.starts_with("mode=")) {
            options.extend(mode_of(rootfs, mount.destination()));
        }
        mount.set_options(Some(options));
    }
    (Some(&mounts) != spec.mounts().as_ref()).then_some(mounts)
}

fn mode_of(rootfs: &Path, destination: &Path) -> Option<String> {
    let covered = fs::metadata(rootfs.join(scoped_resolve(rootfs, destination).ok()?)).ok()?;
    covered.is_dir().then(|| format!("mode={:o}", covered.mode() & 0o7777))
}

fn asks(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("tmpfs")
        && mount.options().iter().flatten().any(|one| one == COPY_UP_OPTION)
}

const DIR_FLAGS: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// Copies contents, owners and modes, and no more, as runc does. Nothing of the container's runs yet, but what is in the image or in a
/// volume above the mount may be anything, and change: either side is resolved below its own root, only the tmpfs itself is written to,
/// and no link is followed from there on.
pub(crate) fn copy_up(spec: &Spec, rootfs: &Path, pid: i32) -> Result<(), Error> {
    for mount in spec.mounts().iter().flatten().filter(|mount| asks(mount)) {
        let failed =
            |errno: Errno| Error::file("copy into the tmpfs at", mount.destination())(errno.into());
        let image = match below(rootfs, mount.destination()) {
            // Nothing to begin with.
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            image => image.map_err(failed)?,
        };
        let inside = below(Path::new(&format!("/proc/{pid}/root")), mount.destination());
        let tmpfs = inside.and_then(|inside| is_tmpfs(&inside).map(|()| inside));
        copy_all(&image, &tmpfs.map_err(failed)?).map_err(failed)?;
    }
    Ok(())
}

fn below(root: &Path, path: &Path) -> Result<OwnedFd, Errno> {
    let root = openat(CWD, root, DIR_FLAGS | OFlags::PATH, Mode::empty())?;
    openat2(root, path, DIR_FLAGS | OFlags::RDONLY, Mode::empty(), ResolveFlags::IN_ROOT)
}

/// That a folder is where a tmpfs begins, `STATX_ATTR_MOUNT_ROOT` (Linux 5.8).
fn is_tmpfs(folder: &OwnedFd) -> Result<(), Errno> {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    let found = statx(folder, "", AtFlags::EMPTY_PATH, StatxFlags::empty())?;
    let begins = found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    match begins && fstatfs(folder)?.f_type == TMPFS_MAGIC {
        true => Ok(()),
        false => Err(Errno::STALE),
    }
}

fn copy_all(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy(from, to, name)?;
        }
    }
    Ok(())
}

fn copy(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let found = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let own = Mode::from_raw_mode(0o600);
    let made = match FileType::from_raw_mode(found.st_mode) {
        FileType::Symlink => {
            let made = symlinkat(readlinkat(from, name, Vec::new())?, to, name);
            return made.and_then(|()| owned(to, name, &found)).or_else(is_there);
        }
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU).or_else(is_there)?;
            let here = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
            match openat2(to, name, DIR_FLAGS, Mode::empty(), here) {
                // A mount of its own, whose files are not the image's.
                Err(Errno::XDEV | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
                folder => copy_all(
                    &openat(from, name, DIR_FLAGS | OFlags::NOFOLLOW, Mode::empty())?,
                    &folder?,
                ),
            }
        }
        FileType::RegularFile => {
            let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
            // Should it have become a FIFO, nobody waits for who writes to it.
            let read =
                openat(from, name, flags | OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
            let new = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            openat(to, name, new, own).and_then(|written| {
                io::copy(&mut File::from(read), &mut File::from(written))
                    .map(drop)
                    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            })
        }
        // Nobody listens at it.
        FileType::Socket => return Ok(()),
        kind => mknodat(to, name, kind, own, found.st_rdev),
    };
    match made {
        // In this order: changing the owner takes set-user-id bits away.
        Ok(()) => owned(to, name, &found)
            .and_then(|()| chmodat(to, name, Mode::from_raw_mode(found.st_mode), AtFlags::empty())),
        Err(errno) => is_there(errno),
    }
}

/// What libcontainer has put there already, to mount something on it, is not the image's to fill.
fn is_there(errno: Errno) -> Result<(), Errno> {
    if errno == Errno::EXIST { Ok(()) } else { Err(errno) }
}

fn owned(folder: &OwnedFd, name: &CStr, like: &Stat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
    chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}
#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_copying_is_runvfs_and_the_mode_the_covered_folders() {
        let root = tempfile::tempdir().unwrap();
        let var = root.path().join("var");
        fs::create_dir(&var).unwrap();
        fs::set_permissions(&var, fs::Permissions::from_mode(0o1750)).unwrap();
        let of = |kind: &str, destination: &str, options: &[&str]| {
            let mount =
                serde_json::json!({ "destination": destination, "type": kind, "options": options });
            let spec = serde_json::json!({ "ociVersion": "1.0.2", "mounts": [mount] });
            let mounts = patch_mounts(&serde_json::from_value(spec).unwrap(), root.path())?;
            Some(mounts[0].options().clone()?.join(","))
        };
        assert_eq!(of("tmpfs", "/t", &["size=1m", "tmpcopyup"]).as_deref(), Some("size=1m"));
        assert_eq!(of("tmpfs", "/var", &["tmpcopyup"]).as_deref(), Some("mode=1750"));
        assert_eq!(of("tmpfs", "/var", &["mode=700"]), None);
        assert_eq!(
            (of("tmpfs", "/t", &["size=1m"]), of("bind", "/var", &[COPY_UP_OPTION])),
            (None, None)
        );
    }

    fn open(path: &Path) -> OwnedFd {
        openat(CWD, path, DIR_FLAGS, Mode::empty()).unwrap()
    }

    #[test]
    fn files_folders_and_links_are_copied_and_no_link_is_followed() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (from.path(), to.path());
        fs::create_dir(a.join("folder")).unwrap();
        fs::write(a.join("folder/file"), "text").unwrap();
        fs::set_permissions(a.join("folder/file"), fs::Permissions::from_mode(0o4711)).unwrap();
        fs::set_permissions(a.join("folder"), fs::Permissions::from_mode(0o500)).unwrap();
        symlink("/etc/passwd", a.join("link")).unwrap();
        mknodat(CWD, a.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        copy_all(&open(a), &open(b)).unwrap();
        assert_eq!(fs::read_to_string(b.join("folder/file")).unwrap(), "text");
        let mode = |path: &str| fs::symlink_metadata(b.join(path)).unwrap().mode();
        assert_eq!((mode("folder/file") & 0o7777, mode("folder") & 0o7777), (0o4711, 0o500));
        assert_eq!(mode("fifo"), 0o10400);
        assert_eq!(fs::read_link(b.join("link")).unwrap(), Path::new("/etc/passwd"));
    }

    #[test]
    fn what_is_there_stays_and_leads_nowhere() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (from.path(), to.path());
        for folder in ["lib", "out"] {
            fs::create_dir(a.join(folder)).unwrap();
            fs::write(a.join(folder).join("file"), "the image's").unwrap();
        }
        fs::write(a.join("hosts"), "the image's").unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(b.join("lib")).unwrap();
        fs::write(b.join("hosts"), "the engine's").unwrap();
        symlink(outside.path(), b.join("out")).unwrap();
        copy_all(&open(a), &open(b)).unwrap();
        assert_eq!(fs::read_to_string(b.join("lib/file")).unwrap(), "the image's");
        assert_eq!(fs::read_to_string(b.join("hosts")).unwrap(), "the engine's");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_where_a_tmpfs_begins_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(is_tmpfs(&open(folder.path())), Err(Errno::STALE), "nothing begins there");
        assert_eq!(is_tmpfs(&open(Path::new("/proc"))), Err(Errno::STALE), "another kind");
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let all = table.lines().filter(|line| line.contains(" - tmpfs "));
        let mut points = all.filter_map(|line| line.split(' ').nth(4)).map(Path::new);
        assert!(points.any(|point| point.is_dir() && is_tmpfs(&open(point)) == Ok(())), "{table}");
        let root = tempfile::tempdir().unwrap();
        symlink("/etc", root.path().join("link")).unwrap();
        assert_eq!(below(root.path(), Path::new("/link")).unwrap_err(), Errno::NOENT);
    }
}
