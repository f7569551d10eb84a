//! What of later mounts a mount passes on, and to whom (`rprivate`, `rslave`, `shared`, …). libcontainer passes over these options: its
//! `mount_setattr` has no propagation (`rootfs/mount.rs`), and every volume would be a slave of the host's, in which whatever the host
//! mounts there later shows up.

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

/// A mount's option, as `mount_attr.propagation` has it (mount_setattr(2)), and whether it is for what is mounted below as well.
type How = (u64, bool);

/// As the options say, one mount after the other, while the init process waits (runc: `mountPropagate`, `rootfs_linux.go`).
pub(crate) fn set(spec: &Spec, pid: i32) -> Result<(), Error> {
    let mounts = spec.mounts().iter().flatten();
    let all: Vec<(&Path, How)> = mounts
        .flat_map(|mount| options(mount).map(|how| (mount.destination().as_path(), how)))
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    let path = format!("/proc/{pid}/ns/mnt");
    let id = |path: &str| fs::read_link(path).map_err(Error::file("read", path));
    if id(&path)? == id("/proc/self/ns/mnt")? {
        // It has none of its own, and these would be the host's mounts.
        return Ok(());
    }
    let namespace = File::open(&path).map_err(Error::file("open", &path))?;
    // A thread of its own, since only one that ends is surely out of there again.
    thread::scope(|scope| {
        let work = || {
            let enter = Error::kernel("enter the container's mount namespace");
            unshare(CloneFlags::CLONE_FS)
                .and_then(|()| setns(namespace.as_fd(), CloneFlags::CLONE_NEWNS))
                .map_err(enter)?;
            all.iter().try_for_each(|(destination, how)| one(destination, *how))
        };
        let failed = Error::kernel("set the propagation of mounts");
        match thread::Builder::new().spawn_scoped(scope, work) {
            Ok(worker) => worker.join().unwrap_or_else(|_| Err(failed(Errno::EIO))),
            // There is no thread to be had.
            Err(_) => Err(failed(Errno::EAGAIN)),
        }
    })
}

fn options(mount: &Mount) -> impl Iterator<Item = How> {
    mount.options().iter().flatten().filter_map(|option| {
        let (plain, below) = match option.strip_prefix('r') {
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
        Some((propagation, below))
    })
}

fn one(destination: &Path, (propagation, below): How) -> Result<(), Error> {
    let failed = |errno: Errno| Error::file("set the propagation of", destination)(errno.into());
    let (flags, resolve) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::NO_MAGICLINKS);
    // A link of the image's leads where libcontainer has mounted: below the root, which is the thread's own in there.
    let mount = openat2(CWD, Path::new("/").join(destination), flags, Mode::empty(), resolve);
    let mount = mount.map_err(|error| failed(Errno::from_raw(error.raw_os_error())))?;
    let recursive = if below { libc::AT_RECURSIVE } else { 0 };
    mount_setattr(&mount, recursive, propagation).map_err(failed)
}

fn mount_setattr(mount: &OwnedFd, recursive: i32, propagation: u64) -> Result<(), Errno> {
    let attributes = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation, userns_fd: 0 };
    // SAFETY: the descriptor is open, the path is an empty C string, and `attributes` lives until after the call, which reads as
    // many bytes of it as it is told to have.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
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
    fn only_propagation_is_taken_from_the_options() {
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

    fn options_of(mount: &Mount) -> Vec<How> {
        options(mount).collect()
    }
}
