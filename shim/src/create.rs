//! `create`: the container with its init process waiting, and its VFs inside. In this order, so that a refused request
//! has touched nothing and a process never runs without its VF.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::container::{Container as Library, ContainerStatus, State};
use libcontainer::error::LibcontainerError;
use libcontainer::oci_spec::runtime::{Mount, Spec};
use libcontainer::syscall::syscall::SyscallType;

use crate::cli::{self, Global};
use crate::container::{self, Container, Record};
use crate::delete;
use crate::devices;
use crate::error::{Error, line};
use crate::executor::Executor;
use crate::hooks;
use crate::keyring;
use crate::log::Log;
use crate::network::{self, Netns};
use crate::rootfs;
use crate::runtime::Runtime;
use crate::symlinks;

pub(crate) fn create(
    global: &Global,
    options: &cli::Create,
    runtime: &Runtime,
    log: &Log,
) -> Result<Container, Error> {
    let id = options.id.as_str();
    let folder = container::folder(global, id)?;
    if folder.exists() {
        return Err(Error::Exists { id: id.to_owned() });
    }
    let bundle =
        fs::canonicalize(&options.bundle).map_err(Error::file("find bundle", &options.bundle))?;
    let spec = load_spec(&bundle, global)?;
    symlinks::check(&spec, &root_of(&spec, &bundle))?;
    let grant = network::grant(id, spec.annotations().as_ref(), &Netns::of(&spec), runtime)?;
    if !options.no_new_keyring {
        keyring::join(id)?;
    }
    let library = build(global, options, &bundle, &spec, log)?;
    let finished = finish(&library, &spec, grant.as_ref(), options, &bundle);
    match finished {
        Ok(record) => Ok(Container { library, record }),
        Err(first) => Err(undo(library, grant.is_some(), first, log)),
    }
}

/// All that libcontainer does not do between its init process waiting and the engine's `start`.
fn finish(
    library: &Library,
    spec: &Spec,
    grant: Option<&vf::Grant>,
    options: &cli::Create,
    bundle: &Path,
) -> Result<Record, Error> {
    let id = library.id();
    let pid = library.pid().map_or(0, |pid| pid.as_raw());
    let gone = || Error::InitGone { id: id.to_owned(), pid };
    let record = Record::new(root_of(spec, bundle), pid, !options.no_new_keyring);
    let record = record.ok_or_else(gone)?;
    record.save(&library.root)?;
    if library.systemd() {
        devices::restrict(spec, id, record.cgroup.as_deref())?;
    }
    if matches!(Netns::of(spec), Netns::New) {
        // runc does it, libcontainer does not; without an engine's network nobody else would.
        vf::loopback_up(pid)?;
    }
    if let Some(grant) = grant {
        grant.attach(&vf::Container { id: id.to_owned(), pid })?;
    }
    if let Some(path) = &options.pid_file {
        // Last, and whole: the engine takes it for the sign that the container is there.
        container::replace(path, pid.to_string().as_bytes())?;
    }
    Ok(record)
}

/// The container goes again; what fails on the way is added to the error that began it.
fn undo(library: Library, granted: bool, first: Error, log: &Log) -> Error {
    let id = library.id().to_owned();
    let removed = delete::remove(Container { library, record: Record::default() }, true, log);
    if granted {
        network::release(&id, log);
    }
    match removed {
        Ok(()) => first,
        Err(then) => Error::Twice { first: Box::new(first), then: line(&then) },
    }
}

fn build(
    global: &Global,
    options: &cli::Create,
    bundle: &Path,
    spec: &Spec,
    log: &Log,
) -> Result<Library, Error> {
    let id = options.id.as_str();
    let failed = |source| failed_build(global, options, bundle, spec, source, log);
    let _aside = rootfs::allow_execution(spec, &root_of(spec, bundle))?;
    ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(global.root())
        .map_err(Error::library("create", id))?
        .with_executor(Executor::default())
        .with_console_socket(options.console_socket.as_ref())
        .with_preserved_fds(options.preserve_fds.into())
        .as_init(bundle)
        .with_systemd(global.systemd_cgroup)
        .with_detach(true)
        .with_no_pivot(options.no_pivot)
        .build()
        .map_err(failed)
}

/// libcontainer cleans up after itself from the moment it has forked, and before that not at all.
fn failed_build(
    global: &Global,
    options: &cli::Create,
    bundle: &Path,
    spec: &Spec,
    source: LibcontainerError,
    log: &Log,
) -> Error {
    let id = options.id.clone();
    if matches!(source, LibcontainerError::Exist) {
        // Another create was faster, and the folder is that one's.
        return Error::Exists { id };
    }
    if matches!(source, LibcontainerError::CreateContainerError(_)) {
        let mut state = State::new(&id, ContainerStatus::Stopped, None, bundle.to_owned());
        state.annotations.clone_from(spec.annotations());
        hooks::poststop(spec.hooks().as_ref(), &state, log);
    }
    let error = Error::inside("create", &id, source);
    match container::folder(global, &options.id).and_then(|folder| delete::remove_folder(&folder)) {
        Ok(()) => error,
        Err(then) => Error::Twice { first: Box::new(error), then: line(&then) },
    }
}

/// Refuses what libcontainer would silently do otherwise.
fn load_spec(bundle: &Path, global: &Global) -> Result<Spec, Error> {
    let path = bundle.join("config.json");
    let spec = Spec::load(&path)
        .map_err(|source| Error::Spec { path: path.clone(), source: Box::new(source) })?;
    let bad = |problem: &str| Error::BadSpec { path: path.clone(), problem: problem.to_owned() };
    if spec.process().is_none() {
        return Err(bad("has no process"));
    }
    let Some(linux) = spec.linux() else {
        return Err(bad("has no linux section"));
    };
    if linux.mount_label().as_ref().is_some_and(|label| !label.is_empty()) {
        return Err(Error::Unsupported {
            what: "libcontainer sets no SELinux labels; leave out linux.mountLabel",
        });
    }
    if spec
        .mounts()
        .iter()
        .flatten()
        .any(|mount| mount.destination() == Path::new("/dev") && is_bind(mount))
    {
        return Err(Error::Unsupported {
            what: "libcontainer fills /dev itself and takes none from outside; name the devices (--device), \
                   or have `engine = \"runc\"` in /etc/runvf/runtime.toml",
        });
    }
    if global.systemd_cgroup && !unified() {
        return Err(Error::Unsupported { what: "--systemd-cgroup needs cgroup v2" });
    }
    Ok(spec)
}

fn is_bind(mount: &Mount) -> bool {
    let options = mount.options().iter().flatten();
    mount.typ().as_deref() == Some("bind")
        || options.into_iter().any(|one| one == "bind" || one == "rbind")
}

fn unified() -> bool {
    use libcgroups::common::{CgroupSetup, get_cgroup_setup};
    matches!(get_cgroup_setup(), Ok(CgroupSetup::Unified))
}

fn root_of(spec: &Spec, bundle: &Path) -> PathBuf {
    let path = spec.root().as_ref().map(|root| bundle.join(root.path())).unwrap_or_default();
    fs::canonicalize(&path).unwrap_or(path)
}
