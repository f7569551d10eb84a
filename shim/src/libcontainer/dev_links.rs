//! The link `/dev/core`. runc, crun and the runtime spec use this name; libcontainer creates the
//! link as `/dev/kcore` (`rootfs/symlink.rs`).

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, open, readlinkat, symlinkat, unlinkat};

/// Renames the link while the init process waits, because no program of the container runs yet.
/// Ignores errors, because a container can start without this link, and `/dev` may be a read-only
/// folder of the image.
pub(crate) fn fix_core_link(pid: i32) {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(dev) = open(format!("/proc/{pid}/root/dev"), flags, Mode::empty()) else { return };
    let Ok(owner) = fstat(&dev) else { return };
    let _owner = FileOwner::assume(&owner);
    if readlinkat(&dev, "kcore", Vec::new()).is_ok_and(|target| target.as_bytes() == b"/proc/kcore")
    {
        let _ = symlinkat("/proc/kcore", &dev, "core");
        let _ = unlinkat(&dev, "kcore", AtFlags::empty());
    }
}

/// Creates files as the owner of a folder, until it is dropped. A file system that was mounted in a
/// user namespace takes no file of an id that is not mapped there (EOVERFLOW, `may_create` in
/// `fs/namei.c`), and the host's root is not.
struct FileOwner {
    uid: Uid,
    gid: Gid,
}

impl FileOwner {
    fn assume(folder: &Stat) -> Self {
        let gid = setfsgid(Gid::from_raw(folder.st_gid));
        Self { uid: setfsuid(Uid::from_raw(folder.st_uid)), gid }
    }
}

impl Drop for FileOwner {
    fn drop(&mut self) {
        setfsuid(self.uid);
        setfsgid(self.gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_belong_to_the_folders_owner_until_the_end() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(1234), Some(1235)).unwrap();
        let owner = |name: &str| {
            std::fs::write(folder.path().join(name), "").unwrap();
            let stat = rustix::fs::stat(folder.path().join(name)).unwrap();
            (stat.st_uid, stat.st_gid)
        };
        let before = owner("before");
        let assumed = FileOwner::assume(&rustix::fs::stat(folder.path()).unwrap());
        assert_eq!(owner("during"), (1234, 1235));
        drop(assumed);
        assert_eq!(owner("after"), before);
    }
}
