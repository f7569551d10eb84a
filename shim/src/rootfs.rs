//! A root file system on a mount that forbids execution, as `/run` is on many hosts. crun, and runc if the root is
//! read-only, remount it with flags of their own, and so it runs; libcontainer binds it with the flags that are there, and
//! nothing in such a container can be executed. So it is bound over itself without `noexec` before libcontainer forks, in a
//! mount namespace that nobody but the container inherits.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::{LinuxNamespaceType, Spec};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::fchdir;

use crate::error::Error;

/// The namespace and the folder to return to.
#[must_use]
pub(crate) struct Aside {
    namespace: File,
    folder: File,
}

/// `None`: nothing had to be done.
pub(crate) fn allow_execution(spec: &Spec, rootfs: &Path) -> Result<Option<Aside>, Error> {
    // One that is not there is libcontainer's to complain of.
    let Ok(flags) = statvfs(rootfs).map(|found| found.flags()) else { return Ok(None) };
    if !flags.contains(FsFlags::ST_NOEXEC) || !has_mounts_of_its_own(spec) {
        return Ok(None);
    }
    let open = |path: &str| File::open(path).map_err(Error::file("open", path));
    let aside = Aside { namespace: open("/proc/self/ns/mnt")?, folder: open(".")? };
    let action = "bind the root file system without noexec";
    unshare(CloneFlags::CLONE_NEWNS).map_err(Error::kernel(action))?;
    // Else the host would see it. libcontainer makes the same mount private, for the same reason.
    change(&mount_of(rootfs)?, None, MsFlags::MS_PRIVATE).map_err(Error::kernel(action))?;
    change(rootfs, Some(rootfs), MsFlags::MS_BIND | MsFlags::MS_REC)
        .map_err(Error::kernel(action))?;
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | kept(flags);
    change(rootfs, None, flags).map_err(Error::kernel(action))?;
    Ok(Some(aside))
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What follows finds its files in either namespace; only what was mounted here lives on for as long as we do.
        if setns(self.namespace.as_fd(), CloneFlags::CLONE_NEWNS).is_ok() {
            // Paths on the command line may be relative.
            let _ = fchdir(&self.folder);
        }
    }
}

/// Else it would live in ours, and not in the one that its spec names.
fn has_mounts_of_its_own(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let mut all = namespaces.into_iter().flatten();
    all.any(|one| one.typ() == LinuxNamespaceType::Mount && one.path().is_none())
}

fn change(target: &Path, source: Option<&Path>, flags: MsFlags) -> nix::Result<()> {
    mount(source, target, None::<&str>, flags, None::<&str>)
}

/// The flags of a mount but `noexec`. Those of the access time stay if they are not named, mount(2).
fn kept(flags: FsFlags) -> MsFlags {
    let pairs = [
        (FsFlags::ST_RDONLY, MsFlags::MS_RDONLY),
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
    ];
    pairs.iter().filter(|(one, _)| flags.contains(*one)).map(|(_, flag)| *flag).collect()
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

    #[test]
    fn only_noexec_is_dropped() {
        let all = FsFlags::ST_NOEXEC | FsFlags::ST_NOSUID | FsFlags::ST_NODEV;
        assert_eq!(kept(all), MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    }
}
