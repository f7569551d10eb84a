//! `create`: the container with its init process waiting, and its VFs inside. In this order, so that a refused request
//! has touched nothing and a process never runs without its VF.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::container::Container as Library;
use libcontainer::oci_spec::runtime::Spec;

use super::delete;
use crate::cli::{self, Global};
use crate::config::Config;
use crate::container::{self, Container, Record};
use crate::error::Error;
use crate::libcontainer::rlimits::MemlockLimit;
use crate::libcontainer::{WaitingInit, children, errors, init, rootfs, spec_check, symlinks};
use crate::log::Log;
use crate::vf::{Netns, authorize_request, release_vfs};

pub(crate) fn create(
    global: &Global,
    options: &cli::Create,
    config: &Config,
    log: &Log,
) -> Result<Container, Error> {
    let id = options.id.as_str();
    children::record_existing();
    check_id_unused(global, id)?;
    let bundle =
        fs::canonicalize(&options.bundle).map_err(Error::file("find bundle", &options.bundle))?;
    let spec = spec_check::load(&bundle, global.systemd_cgroup)?;
    symlinks::check(&spec, &rootfs::path_of(&spec, &bundle))?;
    let grant = authorize_request(id, spec.annotations().as_ref(), &Netns::of(&spec), config)?;
    let memlock = MemlockLimit::of(spec.process().as_ref());
    let keyring = (!options.no_new_keyring).then_some(id);
    crate::libcontainer::prepare_fork(keyring, spec.process().as_ref())?;
    let library = init::build(global, options, &bundle, &spec, log)?;
    let record = check_bundle(&library, &bundle)
        .and_then(|()| record_init(&library, rootfs::path_of(&spec, &bundle), options))
        .and_then(|record| finish(&library, &spec, record, memlock, grant.as_ref()))
        .and_then(|record| write_pid_file(&library, options).map(|()| record));
    match record {
        Ok(record) => Ok(Container { library, record }),
        Err(first) => {
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

/// Nobody could work with a container that says it is of another bundle, such as the one libcontainer read (`patched_bundle.rs`).
fn check_bundle(library: &Library, bundle: &Path) -> Result<(), Error> {
    match library.bundle() == bundle {
        true => Ok(()),
        false => Err(Error::OtherBundle { id: library.id().to_owned(), bundle: bundle.to_owned() }),
    }
}

/// Saves a record of the init process, which waits.
fn record_init(library: &Library, rootfs: PathBuf, options: &cli::Create) -> Result<Record, Error> {
    let pid = pid_of(library);
    // Its seccomp profile may not even let it wait for the start, and then only libcontainer's own words tell.
    let gone = || Error::InitGone { id: library.id().to_owned(), pid, why: errors::first_error() };
    let record = Record::new(rootfs, pid, !options.no_new_keyring).ok_or_else(gone)?;
    record.save(&library.root)?;
    Ok(record)
}

/// All that libcontainer does not do between its init process waiting and the engine's `start`, and the VFs.
fn finish(
    library: &Library,
    spec: &Spec,
    mut record: Record,
    memlock: MemlockLimit,
    grant: Option<&vf::Grant>,
) -> Result<Record, Error> {
    let (id, pid) = (library.id(), pid_of(library));
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
    }
    record.finished = true;
    record.save(&library.root)?;
    Ok(record)
}

/// Last, and whole: the engine takes it for the sign that the container is there.
fn write_pid_file(library: &Library, options: &cli::Create) -> Result<(), Error> {
    match &options.pid_file {
        Some(path) => container::write_atomically(path, pid_of(library).to_string().as_bytes()),
        None => Ok(()),
    }
}

/// 0: libcontainer knows of no init process.
fn pid_of(library: &Library) -> i32 {
    library.pid().map_or(0, |pid| pid.as_raw())
}

/// The container goes again; what fails on the way is added to the error that began it.
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
