//! `create`: creates a container with an init process that waits for `start`, and attaches its VFs.
//!
//! The request is authorized first, so that a refused request changes nothing on the host. The VFs
//! are attached while the init process waits, so that the container's program never runs without
//! its VF.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::container::Container as Library;
use libcontainer::oci_spec::runtime::Spec;

use super::delete;
use crate::cli::{self, Global};
use crate::config::Config;
use crate::container::{self, BundleConfig, Container, Record};
use crate::error::Error;
use crate::libcontainer::rlimits::MemlockLimit;
use crate::libcontainer::{
    WaitingInit, children, errors, init, proc_guard, rootfs, spec_check, symlinks,
};
use crate::log::Log;
use crate::tty::streams::ProcessEnds;
use crate::vf::{Netns, authorize_request, claim_vfio, net_devices, release_vfs};

/// A bundle, and its `config.json`.
pub(crate) struct Bundle {
    path: PathBuf,
    config: BundleConfig,
}

impl Bundle {
    pub(crate) fn open(options: &cli::Create) -> Result<Self, Error> {
        let path = fs::canonicalize(&options.bundle)
            .map_err(Error::file("find the bundle", &options.bundle))?;
        let config = container::load_config(&path)?;
        Ok(Self { path, config })
    }

    pub(crate) fn wants_terminal(&self) -> bool {
        let process = self.config.spec.process().as_ref();
        process.and_then(|process| process.terminal()).unwrap_or(false)
    }
}

/// Creates the container. `ends`: its streams, if they are not runvf's own. If a step fails, the
/// container and its VFs are removed again.
pub(crate) fn create(
    global: &Global,
    options: &cli::Create,
    bundle: Bundle,
    ends: Option<ProcessEnds>,
    config: &Config,
    log: &Log,
) -> Result<Container, Error> {
    let id = options.id.as_str();
    children::record_existing();
    check_id_unused(global, id)?;
    let Bundle { path: bundle, config: document } = bundle;
    spec_check::check(&document, &bundle, global.systemd_cgroup, log)?;
    let mut spec = document.spec;
    rootfs::check(&spec, &bundle)?;
    let rootfs = rootfs::path_of(&spec, &bundle);
    symlinks::check(&spec, &rootfs)?;
    proc_guard::check(&spec, &rootfs, log)?;
    let (netns, devices) = (Netns::of(&spec), net_devices(&spec));
    let grant = authorize_request(id, spec.annotations().as_ref(), &netns, &devices, config)?;
    let vfio = claim_vfio(grant.as_ref(), id, &mut spec)?;
    let memlock = MemlockLimit::of(spec.process().as_ref());
    let keyring = (!options.no_new_keyring).then_some(id);
    crate::libcontainer::prepare_fork(&spec, keyring, spec.process().as_ref())?;
    enter(&bundle)?;
    let is_receive_only = grant.as_ref().is_some_and(vf::Grant::is_receive_only);
    let library = init::build(global, options, &bundle, &spec, ends, log, is_receive_only)?;
    let record = check_bundle(&library, &bundle)
        .and_then(|()| record_init(&library, rootfs, options, &spec, is_receive_only))
        .and_then(|record| finish(&library, &spec, record, memlock, grant.as_ref()))
        .and_then(|record| write_pid_file(&library, options).map(|()| record));
    match record {
        Ok(record) => Ok(Container { library, record }),
        Err(first) => {
            // While they are not attached, this process counts as their owner.
            drop(vfio);
            let first = children::kill_started_after(id, first);
            Err(undo(library, grant.is_some(), first, log))
        }
    }
}

fn check_id_unused(global: &Global, id: &str) -> Result<(), Error> {
    match container::folder(global, id)?.exists() {
        true => Err(Error::Exists { id: id.to_owned() }),
        false => Ok(()),
    }
}

/// Makes the bundle the working directory, which hooks outside the container inherit, as under runc.
/// `main` has made the paths of the command line absolute.
fn enter(bundle: &Path) -> Result<(), Error> {
    env::set_current_dir(bundle).map_err(Error::file("enter the bundle", bundle))
}

/// Checks that the state names the engine's bundle. libcontainer reads a patched copy of the bundle
/// (`patched_bundle.rs`), and a state that names the copy would be useless to the engine.
fn check_bundle(library: &Library, bundle: &Path) -> Result<(), Error> {
    match library.bundle() == bundle {
        true => Ok(()),
        false => Err(Error::OtherBundle { id: library.id().to_owned(), bundle: bundle.to_owned() }),
    }
}

/// Saves the record of the waiting init process.
fn record_init(
    library: &Library,
    rootfs: PathBuf,
    options: &cli::Create,
    spec: &Spec,
    is_receive_only: bool,
) -> Result<Record, Error> {
    let pid = init_pid(library);
    // A seccomp profile with a notifier may end the init process while it waits. Only libcontainer's
    // log has the cause.
    let exited =
        || Error::InitExited { id: library.id().to_owned(), detail: errors::first_error() };
    let mut record = Record::new(rootfs, pid, !options.no_new_keyring).ok_or_else(exited)?;
    let poststart = spec.hooks().as_ref().and_then(|hooks| hooks.poststart().clone());
    record.poststart = poststart.unwrap_or_default();
    record.receive_only = is_receive_only;
    record.save(&library.root)?;
    Ok(record)
}

/// Completes the container around the waiting init process: the steps that libcontainer does not
/// do, and the VFs.
fn finish(
    library: &Library,
    spec: &Spec,
    mut record: Record,
    memlock: MemlockLimit,
    grant: Option<&vf::Grant>,
) -> Result<Record, Error> {
    let (id, pid) = (library.id(), init_pid(library));
    let init = WaitingInit {
        id,
        pid,
        rootfs: &record.rootfs,
        systemd: library.systemd(),
        cgroup: record.cgroup.as_deref(),
        memlock,
    };
    crate::libcontainer::finish(spec, init)?;
    if let Some(grant) = grant {
        grant.attach(&vf::Container { id: id.to_owned(), pid })?;
        record.pod = grant.pod().cloned();
    }
    record.finished = true;
    record.save(&library.root)?;
    Ok(record)
}

/// Writes the pid file as the last step, because the engine takes the file as the sign that the
/// container exists.
fn write_pid_file(library: &Library, options: &cli::Create) -> Result<(), Error> {
    match &options.pid_file {
        Some(path) => container::write_atomically(path, init_pid(library).to_string().as_bytes()),
        None => Ok(()),
    }
}

/// The pid of the init process, or 0 if libcontainer has none.
fn init_pid(library: &Library) -> i32 {
    library.pid().map_or(0, |pid| pid.as_raw())
}

/// Removes the container after the error `first`. Returns that error, with the error of the removal
/// if that failed too.
fn undo(library: Library, granted: bool, first: Error, log: &Log) -> Error {
    let id = library.id().to_owned();
    let removed = delete::remove(Container { library, record: Record::default() }, true, log);
    if granted {
        release_vfs(&id, log);
    }
    match removed {
        Ok(()) => first,
        Err(then) => first.followed_by(&then),
    }
}
