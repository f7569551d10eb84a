//! The init process of a container, which libcontainer creates (`as_init`). runvf prepares the
//! bundle and, if necessary, a mount namespace for it.

use std::path::Path;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::container::{Container as Library, ContainerStatus, State};
use libcontainer::error::LibcontainerError;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;

use super::executor::Executor;
use super::id_ranges::MappedUserNs;
use super::long_options::LongMounts;
use super::patched_bundle::PatchedBundle;
use super::private_mountns::PrivateMountNs;
use super::seccomp::{self, SeccompFilter};
use super::spec_patch::{self, Cgroups};
use super::userns_mounts::BindStaging;
use super::{children, errors, receive_only, rootfs, runtime_hooks, stdio};
use crate::cli::{self, Global};
use crate::container::{self, cgroup_path};
use crate::error::Error;
use crate::log::Log;
use crate::tty::streams::ProcessEnds;

/// Creates a container. On return, its init process waits for `start`. `is_receive_only`: its
/// processes get no AF_XDP sockets.
pub(crate) fn build(
    global: &Global,
    options: &cli::Create,
    bundle: &Path,
    spec: &Spec,
    ends: Option<ProcessEnds>,
    log: &Log,
    is_receive_only: bool,
) -> Result<Library, Error> {
    let id = options.id.as_str();
    let rootfs = rootfs::path_of(spec, bundle);
    let staged = Staged { binds: BindStaging::new(spec)?, long: LongMounts::new(spec)? };
    let cgroups = Cgroups { systemd: global.systemd_cgroup, unified: cgroup_path::is_unified() };
    let patched = spec_patch::patch(spec, id, &rootfs, cgroups);
    let mut patched = staged.patch(spec, patched).unwrap_or_else(|| spec.clone());
    let mut filters = Vec::new();
    if is_receive_only {
        filters.push(receive_only::filter()?);
        seccomp::keep_capability_to_load(&mut patched);
    }
    filters.extend(SeccompFilter::for_init(spec)?);
    seccomp::take_from(&mut patched);
    runtime_hooks::take_poststart(&mut patched);
    let user_ns = MappedUserNs::new(spec)?;
    user_ns.iter().for_each(|user_ns| user_ns.patch(&mut patched));
    // Always a copy, because the engine's file may not be normalized (`container/normalize.rs`).
    let patched = PatchedBundle::new(&patched, bundle)?;
    let _mountns = enter_mountns(spec, &rootfs, &staged)?;
    let builder = ContainerBuilder::new(id.to_owned(), SyscallType::default());
    stdio::connect(builder, ends)
        .with_root_path(global.root())
        .map_err(Error::library("create", id))?
        .with_executor(Executor::for_create(filters, spec.process().as_ref()))
        .with_console_socket(options.console_socket.as_ref())
        .with_preserved_fds(options.preserve_fds.into())
        .as_init(patched.path())
        .with_systemd(global.systemd_cgroup)
        .with_detach(true)
        .with_no_pivot(options.no_pivot)
        .build()
        .map_err(|source| clean_up(global, id, bundle, spec, source, log))
}

/// The mounts that runvf makes before libcontainer forks, so that libcontainer only binds them.
struct Staged {
    binds: Option<BindStaging>,
    long: Option<LongMounts>,
}

impl Staged {
    fn is_empty(&self) -> bool {
        self.binds.is_none() && self.long.is_none()
    }

    /// Patches the spec once more, so that it names the staged mounts.
    fn patch(&self, spec: &Spec, patched: Option<Spec>) -> Option<Spec> {
        if self.is_empty() {
            return patched;
        }
        let mut patched = patched.unwrap_or_else(|| spec.clone());
        let mut mounts = patched.mounts().clone().unwrap_or_default();
        self.binds.iter().for_each(|binds| binds.patch(&mut mounts));
        self.long.iter().for_each(|long| long.patch(&mut mounts));
        patched.set_mounts(Some(mounts));
        Some(patched)
    }

    fn mount(&self, mountns: &PrivateMountNs) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        mountns.mount_staging_dir()?;
        self.binds.iter().try_for_each(|binds| binds.mount(mountns))?;
        self.long.iter().try_for_each(|long| long.mount(mountns))
    }
}

/// Enters a private mount namespace and mounts there what libcontainer must find. Returns `None`
/// if no mounts are necessary.
fn enter_mountns(
    spec: &Spec,
    rootfs: &Path,
    staged: &Staged,
) -> Result<Option<PrivateMountNs>, Error> {
    let noexec = rootfs::noexec_flags(spec, rootfs);
    if noexec.is_none() && staged.is_empty() {
        return Ok(None);
    }
    let mountns = PrivateMountNs::enter()?;
    if let Some(flags) = noexec {
        rootfs::allow_execution(&mountns, rootfs, flags)?;
    }
    staged.mount(&mountns)?;
    Ok(Some(mountns))
}

/// Removes the rest of a failed `create`. libcontainer cleans up only if it fails after its fork.
fn clean_up(
    global: &Global,
    id: &str,
    bundle: &Path,
    spec: &Spec,
    source: LibcontainerError,
    log: &Log,
) -> Error {
    if matches!(source, LibcontainerError::Exist) {
        // Another `create` with the same id was faster, and the folder belongs to it.
        return Error::Exists { id: id.to_owned() };
    }
    let forked = matches!(source, LibcontainerError::CreateContainerError(_));
    let error = Error::library_logged("create", id, errors::first_error(), source);
    let error = children::kill_started_after(id, error);
    if forked {
        let mut state = State::new(id, ContainerStatus::Stopped, None, bundle.to_owned());
        state.annotations.clone_from(spec.annotations());
        runtime_hooks::poststop(spec.hooks().as_ref(), &state, log);
    }
    match container::folder(global, id).and_then(|folder| container::remove_folder(&folder)) {
        Ok(()) => error,
        Err(then) => error.followed_by(&then),
    }
}
