//! Work inside the mount namespace of a container, while its init process waits.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{chroot, fchdir};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use crate::error::Error;

/// Runs `work` in the mount namespace of a process, with the container's root as root folder. Does
/// nothing if the process is in runvf's own namespace, because `work` would change the host's mounts.
pub(super) fn run(pid: i32, work: impl FnOnce() -> Result<(), Error> + Send) -> Result<(), Error> {
    let path = format!("/proc/{pid}/ns/mnt");
    let id = |path: &str| fs::read_link(path).map_err(Error::file("read", path));
    if id(&path)? == id("/proc/self/ns/mnt")? {
        return Ok(());
    }
    let namespace = File::open(&path).map_err(Error::file("open", &path))?;
    let path = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&path, flags, Mode::empty())
        .map_err(|error| Error::file("open", &path)(error.into()))?;
    let enter_and_work = || {
        // setns(2) makes the topmost mount over `/` the root folder (`maskedPaths: ["/"]`). The
        // root folder of the init process is below it.
        unshare(CloneFlags::CLONE_FS)
            .and_then(|()| setns(namespace.as_fd(), CloneFlags::CLONE_NEWNS))
            .and_then(|()| fchdir(&root))
            .and_then(|()| chroot("."))
            .map_err(Error::kernel("enter the container's mount namespace"))?;
        work()
    };
    // In a new thread, because a thread that exits needs no step back to the host's namespace, which
    // could fail.
    thread::scope(|scope| {
        let failed = Error::kernel("run a thread in the container's mount namespace");
        match thread::Builder::new().spawn_scoped(scope, enter_and_work) {
            Ok(worker) => worker.join().unwrap_or_else(|_| Err(failed(Errno::EIO))),
            // The kernel creates no more threads.
            Err(_) => Err(failed(Errno::EAGAIN)),
        }
    })
}

/// Opens a path of the container, for use inside [`run`]. A symlink in the image resolves to the
/// mount that libcontainer has made, because the root of this thread is the container's root.
pub(super) fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let (flags, resolve) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::NO_MAGICLINKS);
    openat2(CWD, Path::new("/").join(path), flags, Mode::empty(), resolve)
        .map_err(|error| Errno::from_raw(error.raw_os_error()))
}

/// Changes a mount (mount_setattr(2)). `flags`: `AT_RECURSIVE` or 0.
pub(super) fn set_attributes(
    mount: &OwnedFd,
    flags: i32,
    attributes: libc::mount_attr,
) -> Result<(), Errno> {
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
