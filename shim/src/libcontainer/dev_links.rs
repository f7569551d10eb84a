//! The link `/dev/core`. runc, crun and the runtime spec use this name; libcontainer creates the
//! link as `/dev/kcore` (`rootfs/symlink.rs`).

use std::path::Path;

use libcontainer::oci_spec::runtime::Spec;
use rustix::fs::{AtFlags, Mode, OFlags, open, readlinkat, symlinkat, unlinkat};

/// Renames the link while the init process waits, because no program of the container runs yet.
/// Does so only if `/dev` is a mount of the container, because the image's folder may be
/// read-only. Ignores errors, because a container can start without this link.
pub(crate) fn fix_core_link(spec: &Spec, pid: i32) {
    let mut mounts = spec.mounts().iter().flatten();
    if !mounts.any(|mount| mount.destination() == Path::new("/dev")) {
        return;
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(dev) = open(format!("/proc/{pid}/root/dev"), flags, Mode::empty()) else { return };
    if readlinkat(&dev, "kcore", Vec::new()).is_ok_and(|target| target.as_bytes() == b"/proc/kcore")
    {
        let _ = symlinkat("/proc/kcore", &dev, "core");
        let _ = unlinkat(&dev, "kcore", AtFlags::empty());
    }
}
