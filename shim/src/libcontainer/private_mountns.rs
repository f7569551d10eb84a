//! A mount namespace in which libcontainer finds mounts that the host does not have. It forks in it, so that the container
//! inherits them, and nobody else does.

use std::env;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::{LinuxNamespaceType, Spec};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use crate::error::Error;

/// The namespace and the folder to return to. That is no descriptor, which the container's process would inherit (`descriptors.rs`).
#[must_use]
pub(crate) struct PrivateMountNs {
    namespace: File,
    folder: PathBuf,
}

impl PrivateMountNs {
    pub(crate) fn enter() -> Result<Self, Error> {
        let own = "/proc/self/ns/mnt";
        let namespace = File::open(own).map_err(Error::file("open", own))?;
        let folder = env::current_dir().map_err(Error::file("find", "."))?;
        let entered = Self { namespace, folder };
        unshare(CloneFlags::CLONE_NEWNS).map_err(Error::kernel("make a mount namespace"))?;
        Ok(entered)
    }

    /// An empty file system of root's own.
    pub(crate) fn mount_tmpfs(&self, path: &Path, options: &str) -> Result<(), Error> {
        let failed = |errno: nix::Error| Error::file("mount a tmpfs at", path)(errno.into());
        change(&mount_of(path)?, None, MsFlags::MS_SLAVE).map_err(failed)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options)).map_err(failed)
    }

    /// Over a path. The host would see it as well if the mount that the path is on still told it of what is mounted on it. It goes on
    /// telling us, so that a volume from there has what is mounted on it later.
    pub(crate) fn bind(&self, source: &Path, path: &Path, deep: MsFlags) -> Result<(), Error> {
        let failed = |errno: nix::Error| Error::file("bind", source)(errno.into());
        change(&mount_of(path)?, None, MsFlags::MS_SLAVE).map_err(failed)?;
        change(path, Some(source), MsFlags::MS_BIND | deep).map_err(failed)
    }

    pub(crate) fn set_flags(&self, path: &Path, flags: MsFlags) -> Result<(), Error> {
        change(path, None, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags)
            .map_err(|errno| Error::file("remount", path)(errno.into()))
    }
}

impl Drop for PrivateMountNs {
    fn drop(&mut self) {
        // What follows finds its files in either namespace; only what was mounted here lives on for as long as we do.
        if setns(self.namespace.as_fd(), CloneFlags::CLONE_NEWNS).is_ok() {
            // Paths on the command line may be relative.
            let _ = env::set_current_dir(&self.folder);
        }
    }
}

/// Else it would have no part in what is mounted here.
pub(crate) fn is_created_by(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let mut all = namespaces.into_iter().flatten();
    all.any(|one| one.typ() == LinuxNamespaceType::Mount && one.path().is_none())
}

fn change(target: &Path, source: Option<&Path>, flags: MsFlags) -> nix::Result<()> {
    mount(source, target, None::<&str>, flags, None::<&str>)
}

/// The innermost mount point above a path, which is the last of those in the table that are prefixes of it.
fn mount_of(path: &Path) -> Result<PathBuf, Error> {
    let table = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(table).map_err(Error::file("read", table))?;
    Ok(innermost(&text, path))
}

fn innermost(table: &str, path: &Path) -> PathBuf {
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    let above = points.map(PathBuf::from).filter(|point| path.starts_with(point));
    above.max_by_key(|point| point.components().count()).unwrap_or_else(|| "/".into())
}

/// proc(5) writes blanks, tabs, newlines and backslashes in octal.
fn unescaped(point: &str) -> String {
    let pairs = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    pairs.iter().fold(point.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_is_the_one_that_counts() {
        let table = "1 0 0:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / /run rw - tmpfs tmpfs rw\n\
                     3 2 0:3 / /run/my\\040disk rw - tmpfs tmpfs rw\n4 2 0:4 / /runner rw - tmpfs tmpfs rw\n";
        let of = |path: &str| innermost(table, Path::new(path));
        assert_eq!(of("/run/b/rootfs"), Path::new("/run"));
        assert_eq!(of("/run/my disk/b"), Path::new("/run/my disk"));
        assert_eq!(of("/var/b"), Path::new("/"));
    }
}
