//! Two features of a tmpfs mount that runc and crun have and libcontainer does not have.
//!
//! - `tmpcopyup`: the tmpfs starts with the image's files at its destination. Podman sets this option
//!   for every `--tmpfs`. libcontainer passes it to the kernel, which refuses it. runvf copies the
//!   files while the init process waits.
//! - Without a `mode`, the tmpfs gets the mode of the folder that it covers. The kernel's default is
//!   1777, so that every user could write there.

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

/// Makes the mounts such that libcontainer accepts them.
pub(super) fn patch(mounts: &mut [Mount], rootfs: &Path) {
    for mount in mounts.iter_mut().filter(|mount| mount.typ().as_deref() == Some("tmpfs")) {
        let mut options = mount.options().clone().unwrap_or_default();
        options.retain(|option| option != COPY_UP_OPTION);
        if !options.iter().any(|option| option.starts_with("mode=")) {
            options.extend(mode_of(rootfs, mount.destination()));
        }
        if mount.options().is_some() || !options.is_empty() {
            mount.set_options(Some(options));
        }
    }
}

fn mode_of(rootfs: &Path, destination: &Path) -> Option<String> {
    let covered = fs::metadata(rootfs.join(scoped_resolve(rootfs, destination).ok()?)).ok()?;
    covered.is_dir().then(|| format!("mode={:o}", covered.mode() & 0o7777))
}

fn wants_copy_up(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("tmpfs")
        && mount.options().iter().flatten().any(|option| option == COPY_UP_OPTION)
}

const DIR_FLAGS: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// Copies the image's files to each tmpfs with `tmpcopyup`: only contents, owners and modes, as runc
/// does. No program of the container runs yet. But the image, or a volume above the mount, may
/// contain any files, and they may change during the copy. So source and destination are each
/// resolved below their own root, runvf writes only to the tmpfs itself, and it follows no symlink
/// below these two folders.
pub(crate) fn copy_up(spec: &Spec, rootfs: &Path, pid: i32) -> Result<(), Error> {
    for mount in spec.mounts().iter().flatten().filter(|mount| wants_copy_up(mount)) {
        let failed = |errno: Errno| {
            Error::file("copy files to the tmpfs at", mount.destination())(errno.into())
        };
        let image = match open_below(rootfs, mount.destination()) {
            // The image has no folder there.
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            image => image.map_err(failed)?,
        };
        let root = format!("/proc/{pid}/root");
        let tmpfs = open_below(Path::new(&root), mount.destination());
        let tmpfs = tmpfs.and_then(|tmpfs| check_tmpfs_root(&tmpfs).map(|()| tmpfs));
        copy_all(&image, &tmpfs.map_err(failed)?).map_err(failed)?;
    }
    Ok(())
}

fn open_below(root: &Path, path: &Path) -> Result<OwnedFd, Errno> {
    let root = openat(CWD, root, DIR_FLAGS | OFlags::PATH, Mode::empty())?;
    openat2(root, path, DIR_FLAGS | OFlags::RDONLY, Mode::empty(), ResolveFlags::IN_ROOT)
}

/// Checks that a folder is the root of a mounted tmpfs (`STATX_ATTR_MOUNT_ROOT`, Linux 5.8).
fn check_tmpfs_root(folder: &OwnedFd) -> Result<(), Errno> {
    const TMPFS_MAGIC: i64 = 0x0102_1994;
    let found = statx(folder, "", AtFlags::EMPTY_PATH, StatxFlags::empty())?;
    let is_mount_root = found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    match is_mount_root && fstatfs(folder)?.f_type == TMPFS_MAGIC {
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
    let private = Mode::from_raw_mode(0o600);
    let created = match FileType::from_raw_mode(found.st_mode) {
        FileType::Symlink => {
            let created = symlinkat(readlinkat(from, name, Vec::new())?, to, name);
            return created.and_then(|()| set_owner(to, name, &found)).or_else(allow_existing);
        }
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU).or_else(allow_existing)?;
            let same_mount = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
            match openat2(to, name, DIR_FLAGS, Mode::empty(), same_mount) {
                // Another mount, a file or a symlink is there. The image's files must not go there.
                Err(Errno::XDEV | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
                folder => copy_all(
                    &openat(from, name, DIR_FLAGS | OFlags::NOFOLLOW, Mode::empty())?,
                    &folder?,
                ),
            }
        }
        FileType::RegularFile => {
            let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
            // The file may have been replaced by a FIFO. With O_NONBLOCK, open(2) of a FIFO does not
            // wait for a writer.
            let source =
                openat(from, name, flags | OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
            let new = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            openat(to, name, new, private).and_then(|target| {
                io::copy(&mut File::from(source), &mut File::from(target))
                    .map(drop)
                    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
            })
        }
        // A copy would be useless, because no process listens on it.
        FileType::Socket => return Ok(()),
        kind => mknodat(to, name, kind, private, found.st_rdev),
    };
    match created {
        // The owner first, because a change of the owner clears the set-user-id bit.
        Ok(()) => set_owner(to, name, &found)
            .and_then(|()| chmodat(to, name, Mode::from_raw_mode(found.st_mode), AtFlags::empty())),
        Err(errno) => allow_existing(errno),
    }
}

/// Ignores `EEXIST`. libcontainer may already have created a mount point there, which the image's
/// file must not replace.
fn allow_existing(errno: Errno) -> Result<(), Errno> {
    if errno == Errno::EXIST { Ok(()) } else { Err(errno) }
}

fn set_owner(folder: &OwnedFd, name: &CStr, like: &Stat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
    chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_copy_option_is_removed_and_the_covered_folders_mode_is_added() {
        let root = tempfile::tempdir().unwrap();
        let var = root.path().join("var");
        fs::create_dir(&var).unwrap();
        fs::set_permissions(&var, fs::Permissions::from_mode(0o1750)).unwrap();
        let of = |kind: &str, destination: &str, options: &[&str]| {
            let mount =
                serde_json::json!({ "destination": destination, "type": kind, "options": options });
            let mut mounts: Vec<Mount> = vec![serde_json::from_value(mount).unwrap()];
            patch(&mut mounts, root.path());
            mounts[0].options().clone().unwrap().join(",")
        };
        assert_eq!(of("tmpfs", "/t", &["size=1m", "tmpcopyup"]), "size=1m");
        assert_eq!(of("tmpfs", "/t", &["tmpcopyup"]), "");
        assert_eq!(of("tmpfs", "/var", &["tmpcopyup"]), "mode=1750");
        assert_eq!(of("tmpfs", "/var", &["mode=700"]), "mode=700");
        assert_eq!(of("bind", "/var", &[COPY_UP_OPTION]), COPY_UP_OPTION);
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
    fn existing_files_stay_and_existing_symlinks_are_not_followed() {
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
    fn only_the_root_of_a_tmpfs_is_written_to() {
        let check = |path: &Path| check_tmpfs_root(&open(path));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(check(folder.path()), Err(Errno::STALE), "no mount point");
        assert_eq!(check(Path::new("/proc")), Err(Errno::STALE), "no tmpfs");
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let all = table.lines().filter(|line| line.contains(" - tmpfs "));
        let mut points = all.filter_map(|line| line.split(' ').nth(4)).map(Path::new);
        assert!(points.any(|point| point.is_dir() && check(point) == Ok(())), "{table}");
        let root = tempfile::tempdir().unwrap();
        symlink("/etc", root.path().join("link")).unwrap();
        assert_eq!(open_below(root.path(), Path::new("/link")).unwrap_err(), Errno::NOENT);
    }
}
