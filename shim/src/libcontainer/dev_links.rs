//! `/dev/core`, which runc, crun and the runtime spec's default links know, and libcontainer calls `/dev/kcore`
//! (`rootfs/symlink.rs`).

use std::path::Path;

use libcontainer::oci_spec::runtime::Spec;
use rustix::fs::{AtFlags, Mode, OFlags, open, readlinkat, symlinkat, unlinkat};

/// While the init process waits, so nothing of the container's runs yet. Only where `/dev` is a mount of the container's own:
/// an image's folder may be read-only. A link less is no reason to start no container, so what fails is left.
pub(crate) fn fix_core_link(spec: &Spec, pid: i32) {
    let mut mounts = spec.mounts().iter().flatten();
    if !mounts.any(|mount| mount.destination() == Path::new("/dev")) {
        return;
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(dev) = open(format!("/proc/{pid}/root/dev"), flags, Mode::empty()) else { return };
    if readlinkat(&dev, "kcore", Vec::new()).is_ok_and(|goal| goal.as_bytes() == b"/proc/kcore") {
        let _ = symlinkat("/proc/kcore", &dev, "core");
        let _ = unlinkat(&dev, "kcore", AtFlags::empty());
    }
}
