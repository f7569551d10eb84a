//! A private mount namespace for mounts that only the container must see. libcontainer forks in it,
//! so the container inherits the mounts and the host does not get them.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::{LinuxNamespaceType, Spec};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use vf::mountinfo::unescape;

use crate::error::Error;

/// The folder of the mounts that libcontainer must bind. On the host, this is an empty folder of root.
/// In the private mount namespace, runvf mounts a tmpfs there first, so that no other process can
/// exchange the files. Containers may share `/dev/shm` and `/tmp` with the host, so these folders are
/// not suitable.
pub(super) const STAGING_DIR: &str = "/run/runvf-shelf";

/// The path in [`STAGING_DIR`] of the mount with this index in the spec.
pub(super) fn staging_path(index: usize) -> PathBuf {
    Path::new(STAGING_DIR).join(index.to_string())
}

/// Holds the namespace and the folder to return to. The folder is a path and not a descriptor,
/// because the container's process would inherit a descriptor (`descriptors.rs`).
#[must_use]
pub(crate) struct PrivateMountNs {
    original: File,
    folder: PathBuf,
}

impl PrivateMountNs {
    /// Creates the namespace and enters it. [`Drop`] returns to the original one.
    pub(crate) fn enter() -> Result<Self, Error> {
        let path = "/proc/self/ns/mnt";
        let original = File::open(path).map_err(Error::file("open", path))?;
        let folder = env::current_dir().map_err(Error::file("resolve", "."))?;
        let entered = Self { original, folder };
        unshare(CloneFlags::CLONE_NEWNS).map_err(Error::kernel("create a mount namespace"))?;
        Ok(entered)
    }

    /// Mounts an empty tmpfs at [`STAGING_DIR`].
    pub(super) fn mount_staging_dir(&self) -> Result<(), Error> {
        let path = Path::new(STAGING_DIR);
        fs::create_dir_all(path).map_err(Error::file("create", path))?;
        let failed = |errno: nix::Error| Error::file("mount a tmpfs at", path)(errno.into());
        change_mount(&mount_of(path)?, None, MsFlags::MS_SLAVE).map_err(failed)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let options = Some("mode=0711,size=64k");
        mount(Some("tmpfs"), path, Some("tmpfs"), flags, options).map_err(failed)
    }

    /// Mounts a file system at a path in [`STAGING_DIR`].
    pub(super) fn mount(
        &self,
        source: Option<&Path>,
        path: &Path,
        kind: Option<&str>,
        flags: MsFlags,
        data: &str,
    ) -> nix::Result<()> {
        mount(source, path, kind, flags, Some(data))
    }

    /// Bind-mounts `source` over a path. `recursive`: `MS_REC` or empty.
    ///
    /// First makes the mount that contains the path a slave, because a mount on a shared mount would
    /// also appear on the host. A slave still receives later mounts of the host, so that a volume
    /// below the path gets them.
    pub(crate) fn bind(&self, source: &Path, path: &Path, recursive: MsFlags) -> Result<(), Error> {
        let failed = |errno: nix::Error| Error::file("bind-mount", source)(errno.into());
        change_mount(&mount_of(path)?, None, MsFlags::MS_SLAVE).map_err(failed)?;
        change_mount(path, Some(source), MsFlags::MS_BIND | recursive).map_err(failed)
    }

    /// Replaces the flags of a bind mount.
    pub(crate) fn set_flags(&self, path: &Path, flags: MsFlags) -> Result<(), Error> {
        change_mount(path, None, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags)
            .map_err(|errno| Error::file("remount", path)(errno.into()))
    }
}

impl Drop for PrivateMountNs {
    fn drop(&mut self) {
        // An error is ignored, because the later steps find their files in both namespaces. The
        // private mounts then exist until runvf exits.
        if setns(self.original.as_fd(), CloneFlags::CLONE_NEWNS).is_ok() {
            // setns(2) changes the current folder, and paths on the command line may be relative.
            let _ = env::set_current_dir(&self.folder);
        }
    }
}

/// Whether the container has a new mount namespace. Only a new namespace inherits the private mounts.
pub(crate) fn is_created_by(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let mut namespaces = namespaces.into_iter().flatten();
    namespaces
        .any(|namespace| namespace.typ() == LinuxNamespaceType::Mount && namespace.path().is_none())
}

fn change_mount(target: &Path, source: Option<&Path>, flags: MsFlags) -> nix::Result<()> {
    mount(source, target, None::<&str>, flags, None::<&str>)
}

/// Returns the innermost mount point that contains a path.
fn mount_of(path: &Path) -> Result<PathBuf, Error> {
    let table = "/proc/self/mountinfo";
    let text = fs::read_to_string(table).map_err(Error::file("read", table))?;
    Ok(innermost(&text, path))
}

fn innermost(table: &str, path: &Path) -> PathBuf {
    let above = mount_points(table).filter(|point| path.starts_with(point));
    above.max_by_key(|point| point.components().count()).unwrap_or_else(|| "/".into())
}

/// The mount points of a `mountinfo` (proc_pid_mountinfo(5)).
pub(super) fn mount_points(table: &str) -> impl Iterator<Item = PathBuf> {
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points.map(|point| OsString::from_vec(unescape(point.as_bytes())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_point_is_found() {
        let table = "1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / /run rw - tmpfs tmpfs rw\n\
                     3 2 0:3 / /run/my\\040disk rw - tmpfs tmpfs rw\n4 2 0:4 / /runner rw - tmpfs tmpfs rw\n";
        let of = |path: &str| innermost(table, Path::new(path));
        assert_eq!(of("/run/b/rootfs"), Path::new("/run"));
        assert_eq!(of("/run/my disk/b"), Path::new("/run/my disk"));
        assert_eq!(of("/var/b"), Path::new("/"));
    }

    #[test]
    fn a_backslash_in_a_mount_point_is_no_escape() {
        let table = "1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / /a\\134040 rw - tmpfs tmpfs rw\n";
        assert_eq!(innermost(table, Path::new("/a\\040/b")), Path::new("/a\\040"));
    }
}
