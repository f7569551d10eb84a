//! The propagation options of mounts (`rprivate`, `rslave`, `shared`, …). libcontainer ignores them,
//! because its `mount_setattr` sets no propagation (`rootfs/mount.rs`). Every volume would be a slave
//! of the host's mount, and later mounts of the host would appear in it.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::thread;

use libcontainer::oci_spec::runtime::{Mount, Spec};
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use crate::error::Error;

/// The value of `mount_attr.propagation` (mount_setattr(2)), and whether the option is recursive.
type Propagation = (u64, bool);

/// Applies the options to each mount in order, while the init process waits (runc: `mountPropagate`,
/// `rootfs_linux.go`).
pub(crate) fn set(spec: &Spec, pid: i32) -> Result<(), Error> {
    let mounts = spec.mounts().iter().flatten();
    let all: Vec<(&Path, Propagation)> = mounts
        .flat_map(|mount| options(mount).map(|option| (mount.destination().as_path(), option)))
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    let path = format!("/proc/{pid}/ns/mnt");
    let id = |path: &str| fs::read_link(path).map_err(Error::file("read", path));
    if id(&path)? == id("/proc/self/ns/mnt")? {
        // The container has no mount namespace of its own, so this would change the host's mounts.
        return Ok(());
    }
    let namespace = File::open(&path).map_err(Error::file("open", &path))?;
    // In a new thread, because a thread that exits needs no step back to the host's namespace, which
    // could fail.
    thread::scope(|scope| {
        let work = || {
            let enter = Error::kernel("enter the container's mount namespace");
            unshare(CloneFlags::CLONE_FS)
                .and_then(|()| setns(namespace.as_fd(), CloneFlags::CLONE_NEWNS))
                .map_err(enter)?;
            all.iter().try_for_each(|(destination, option)| set_one(destination, *option))
        };
        let failed = Error::kernel("run the thread that sets the propagation of mounts");
        match thread::Builder::new().spawn_scoped(scope, work) {
            Ok(worker) => worker.join().unwrap_or_else(|_| Err(failed(Errno::EIO))),
            // The kernel creates no more threads.
            Err(_) => Err(failed(Errno::EAGAIN)),
        }
    })
}

fn options(mount: &Mount) -> impl Iterator<Item = Propagation> {
    mount.options().iter().flatten().filter_map(|option| {
        let (plain, recursive) = match option.strip_prefix('r') {
            Some(plain) => (plain, true),
            None => (option.as_str(), false),
        };
        let propagation = match plain {
            "private" => libc::MS_PRIVATE,
            "slave" => libc::MS_SLAVE,
            "shared" => libc::MS_SHARED,
            "unbindable" => libc::MS_UNBINDABLE,
            _ => return None,
        };
        Some((propagation, recursive))
    })
}

fn set_one(destination: &Path, (propagation, recursive): Propagation) -> Result<(), Error> {
    let failed = |errno: Errno| Error::file("set the propagation of", destination)(errno.into());
    let (flags, resolve) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::NO_MAGICLINKS);
    // A symlink in the image resolves to the mount that libcontainer has made, because the root of
    // this thread is now the container's root.
    let mount = openat2(CWD, Path::new("/").join(destination), flags, Mode::empty(), resolve);
    let mount = mount.map_err(|error| failed(Errno::from_raw(error.raw_os_error())))?;
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    mount_setattr(&mount, flags, propagation).map_err(failed)
}

fn mount_setattr(mount: &OwnedFd, flags: i32, propagation: u64) -> Result<(), Errno> {
    let attributes = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation, userns_fd: 0 };
    // SAFETY: the descriptor is open, the path is an empty C string, and `attributes` outlives the
    // call, which reads `size_of_val(&attributes)` bytes of it.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    Errno::result(set).map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn other_options_than_propagation_are_ignored() {
        let of = |options: serde_json::Value| {
            let mount = json!({ "destination": "/m", "options": options });
            options_of(&serde_json::from_value(mount).unwrap())
        };
        assert_eq!(of(json!(["rbind", "ro", "rprivate"])), [(libc::MS_PRIVATE, true)]);
        assert_eq!(of(json!(["slave"])), [(libc::MS_SLAVE, false)]);
        assert_eq!(
            of(json!(["rshared", "unbindable"])),
            [(libc::MS_SHARED, true), (libc::MS_UNBINDABLE, false)]
        );
        assert_eq!(of(json!(["relatime", "rro", "rw"])), []);
    }

    fn options_of(mount: &Mount) -> Vec<Propagation> {
        options(mount).collect()
    }
}
