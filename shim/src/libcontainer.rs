//! The differences between libcontainer and runc, one file per difference.
//!
//! [`prepare_fork`] runs first. Then [`init`] creates a container's init process, or [`tenant`]
//! a process that `exec` adds. [`finish`] does the steps that libcontainer omits, while the init
//! process waits for `start`.

mod bind_flags;
mod cgroup_mount;
pub(crate) mod cgroup_resources;
pub(crate) mod children;
mod command;
mod console_size;
mod container_mountns;
mod descriptors;
mod destinations;
mod dev_links;
mod dev_null;
mod device_nodes;
mod devices;
pub(crate) mod errors;
mod exec_leftovers;
mod exec_state;
mod executor;
mod groups;
mod id_ranges;
mod identity;
pub(crate) mod init;
mod keyring;
mod long_options;
pub(crate) mod mount_options;
mod patched_bundle;
mod private_mountns;
pub(crate) mod proc_guard;
pub(crate) mod process_check;
pub(crate) mod process_defaults;
mod propagation;
mod readonly;
pub(crate) mod rlimits;
pub(crate) mod rootfs;
pub(crate) mod runtime_hooks;
mod seccomp;
pub(crate) mod spec_check;
pub(crate) mod spec_fields;
mod spec_patch;
mod stdio;
pub(crate) mod symlinks;
pub(crate) mod tenant;
mod tmpfs;
mod userns_mounts;

use std::path::Path;

use libcontainer::oci_spec::runtime::{Process, Spec};

use self::keyring::Keyring;
use self::rlimits::MemlockLimit;
use crate::error::Error;
use crate::vf::Netns;

/// Sets the attributes of this process that the process forked by libcontainer inherits: session
/// keyring, supplementary groups, hard resource limits. `spec`: of the container. `keyring`: the
/// id of the container, if it has a session keyring.
pub(crate) fn prepare_fork(
    spec: &Spec,
    keyring: Option<&str>,
    process: Option<&Process>,
) -> Result<(), Error> {
    if let Some(id) = keyring {
        Keyring::of(id, spec).join()?;
    }
    groups::clear()?;
    rlimits::raise_hard_limits(process)
}

/// An init process that waits for its `start`.
pub(crate) struct WaitingInit<'a> {
    pub(crate) id: &'a str,
    pub(crate) pid: i32,
    pub(crate) rootfs: &'a Path,
    /// Whether systemd created the cgroup.
    pub(crate) systemd: bool,
    /// The cgroup's path, relative to the root of cgroup v2.
    pub(crate) cgroup: Option<&'a Path>,
    pub(crate) memlock: MemlockLimit,
}

/// Does the steps that libcontainer omits, while the init process waits for the engine's `start`.
pub(crate) fn finish(spec: &Spec, init: WaitingInit<'_>) -> Result<(), Error> {
    let WaitingInit { id, pid, rootfs, systemd, cgroup, memlock } = init;
    memlock.apply(pid)?;
    cgroup_resources::apply_to_init(spec, id, cgroup, systemd)?;
    if systemd {
        let what = "the container is not in a cgroup of cgroup v2";
        devices::restrict(spec, id, cgroup.ok_or(Error::Unsupported { what })?)?;
    }
    proc_guard::verify(spec, pid)?;
    device_nodes::create(spec, pid)?;
    dev_links::fix_core_link(pid);
    propagation::set(spec, pid)?;
    if let Some(process) = spec.process() {
        console_size::set(process, pid)?;
        stdio::set_owner(pid, identity::host_id(id, pid, "user", process.user().uid())?)?;
    }
    tmpfs::copy_up(spec, rootfs, pid)?;
    // After all steps that write to a tmpfs or to /dev.
    readonly::apply(spec, pid)?;
    if matches!(Netns::of(spec), Netns::New) {
        // As in runc. libcontainer does not set it up, and without an engine's network no other
        // program does.
        vf::loopback_up(pid)?;
    }
    Ok(())
}
