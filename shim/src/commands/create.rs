//! `create`: the container with its init process waiting, and its VFs inside. In this order, so that a refused request
//! has touched nothing and a process never runs without its VF.

use std::fs;
use std::path::{Path, PathBuf};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::container::{Container as Library, ContainerStatus, State};
use libcontainer::error::LibcontainerError;
use libcontainer::oci_spec::runtime::{Mount, Spec};
use libcontainer::syscall::syscall::SyscallType;

use super::delete;
use crate::cli::{self, Global};
use crate::config::Config;
use crate::container::cgroup_path;
use crate::container::{self, Container, Record};
use crate::error::Error;
use crate::libcontainer::children;
use crate::libcontainer::cpuset;
use crate::libcontainer::dev_links;
use crate::libcontainer::devices;
use crate::libcontainer::errors;
use crate::libcontainer::executor::Executor;
use crate::libcontainer::groups;
use crate::libcontainer::identity;
use crate::libcontainer::keyring;
use crate::libcontainer::poststop;
use crate::libcontainer::private_mountns::PrivateMountNs;
use crate::libcontainer::propagation;
use crate::libcontainer::rlimits::{self, MemlockLimit};
use crate::libcontainer::rootfs;
use crate::libcontainer::spec_patch::{self, PatchedBundle};
use crate::libcontainer::stdio;
use crate::libcontainer::symlinks;
use crate::libcontainer::tmpfs;
use crate::libcontainer::userns_mounts::{self, BindStaging};
use crate::log::Log;
use crate::vf::{Netns, authorize_request, release_vfs};

const NO_CGROUP: &str = "the container is in no cgroup of version 2";

pub(crate) fn create(
    global: &Global,
    options: &cli::Create,
    config: &Config,
    log: &Log,
) -> Result<Container, Error> {
    let id = options.id.as_str();
    children::record_existing();
    let folder = container::folder(global, id)?;
    if folder.exists() {
        return Err(Error::Exists { id: id.to_owned() });
    }
    let bundle =
        fs::canonicalize(&options.bundle).map_err(Error::file("find bundle", &options.bundle))?;
    let spec = load_spec(&bundle, global)?;
    symlinks::check(&spec, &root_of(&spec, &bundle))?;
    let grant = authorize_request(id, spec.annotations().as_ref(), &Netns::of(&spec), config)?;
    if !options.no_new_keyring {
        keyring::join(id)?;
    }
    groups::clear()?;
    let memlock = MemlockLimit::of(spec.process().as_ref());
    rlimits::raise_hard_limits(spec.process().as_ref())?;
    let library = build(global, options, &bundle, &spec, log)?;
    let finished = is_of(&library, &bundle)
        .and_then(|()| finish(&library, &spec, grant.as_ref(), options, &bundle, memlock));
    match finished {
        Ok(record) => Ok(Container { library, record }),
        Err(first) => {
            let first = without_processes(id, first);
            Err(undo(library, grant.is_some(), first, log))
        }
    }
}

/// Nobody could work with a container that says it is of another bundle, such as the one libcontainer read (`amend.rs`).
fn is_of(library: &Library, bundle: &Path) -> Result<(), Error> {
    match library.bundle() == bundle {
        true => Ok(()),
        false => Err(Error::OtherBundle { id: library.id().to_owned(), bundle: bundle.to_owned() }),
    }
}

/// All that libcontainer does not do between its init process waiting and the engine's `start`.
fn finish(
    library: &Library,
    spec: &Spec,
    grant: Option<&vf::Grant>,
    options: &cli::Create,
    bundle: &Path,
    memlock: MemlockLimit,
) -> Result<Record, Error> {
    let id = library.id();
    let pid = library.pid().map_or(0, |pid| pid.as_raw());
    // Its seccomp profile may not even let it wait for the start, and then only libcontainer's own words tell.
    let gone = || Error::InitGone { id: id.to_owned(), pid, why: errors::first_error() };
    let record = Record::new(root_of(spec, bundle), pid, !options.no_new_keyring);
    let mut record = record.ok_or_else(gone)?;
    record.save(&library.root)?;
    memlock.apply(pid)?;
    if library.systemd() {
        let cgroup = record.cgroup.as_deref().ok_or(Error::Unsupported { what: NO_CGROUP })?;
        devices::restrict(spec, id, cgroup)?;
        let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
        cpuset::apply(resources, id, cgroup)?;
    }
    dev_links::fix_core_link(spec, pid);
    propagation::set(spec, pid)?;
    if let Some(process) = spec.process() {
        stdio::set_owner(pid, identity::host_id(id, pid, "user", process.user().uid())?)?;
    }
    tmpfs::copy_up(spec, &record.rootfs, pid)?;
    if matches!(Netns::of(spec), Netns::New) {
        // runc does it, libcontainer does not; without an engine's network nobody else would.
        vf::loopback_up(pid)?;
    }
    if let Some(grant) = grant {
        grant.attach(&vf::Container { id: id.to_owned(), pid })?;
    }
    record.finished = true;
    record.save(&library.root)?;
    if let Some(path) = &options.pid_file {
        // Last, and whole: the engine takes it for the sign that the container is there.
        container::write_atomically(path, pid.to_string().as_bytes())?;
    }
    Ok(record)
}

fn without_processes(id: &str, first: Error) -> Error {
    match children::kill_started(id) {
        Ok(()) => first,
        Err(then) => first.followed_by(&then),
    }
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

fn build(
    global: &Global,
    options: &cli::Create,
    bundle: &Path,
    spec: &Spec,
    log: &Log,
) -> Result<Library, Error> {
    let id = options.id.as_str();
    let failed = |source| failed_build(global, options, bundle, spec, source, log);
    let rootfs = root_of(spec, bundle);
    let shelf = BindStaging::new(spec)?;
    let within_reach = shelf.as_ref().map(|shelf| shelf.named_in(spec));
    let amended = spec_patch::patch(
        within_reach.as_ref().unwrap_or(spec),
        id,
        &rootfs,
        global.systemd_cgroup,
    );
    let stage =
        amended.or(within_reach).map(|amended| PatchedBundle::new(&amended, bundle)).transpose()?;
    let bundle_or_stage = stage.as_ref().map_or(bundle.to_owned(), PatchedBundle::bundle);
    let _aside = step_aside(spec, &rootfs, shelf.as_ref())?;
    ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_root_path(global.root())
        .map_err(Error::library("create", id))?
        .with_executor(Executor::for_create())
        .with_console_socket(options.console_socket.as_ref())
        .with_preserved_fds(options.preserve_fds.into())
        .as_init(bundle_or_stage)
        .with_systemd(global.systemd_cgroup)
        .with_detach(true)
        .with_no_pivot(options.no_pivot)
        .build()
        .map_err(failed)
}

/// `None`: nothing had to be mounted.
fn step_aside(
    spec: &Spec,
    rootfs: &Path,
    shelf: Option<&BindStaging>,
) -> Result<Option<PrivateMountNs>, Error> {
    let forbidding = rootfs::noexec_flags(spec, rootfs);
    if forbidding.is_none() && shelf.is_none() {
        return Ok(None);
    }
    let aside = PrivateMountNs::enter()?;
    if let Some(flags) = forbidding {
        rootfs::allow_execution(&aside, rootfs, flags)?;
    }
    if let Some(shelf) = shelf {
        shelf.fill(&aside)?;
    }
    Ok(Some(aside))
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
    let forked = matches!(source, LibcontainerError::CreateContainerError(_));
    let error = without_processes(&id, Error::inside("create", &id, errors::first_error(), source));
    if forked {
        let mut state = State::new(&id, ContainerStatus::Stopped, None, bundle.to_owned());
        state.annotations.clone_from(spec.annotations());
        poststop::run(spec.hooks().as_ref(), &state, log);
    }
    match container::folder(global, &options.id).and_then(|folder| delete::remove_folder(&folder)) {
        Ok(()) => error,
        Err(then) => error.followed_by(&then),
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
    let process_label =
        spec.process().as_ref().and_then(|process| process.selinux_label().as_ref());
    if process_label.is_some_and(|label| !label.is_empty()) {
        return Err(Error::Unsupported {
            what: "libcontainer sets no SELinux labels; leave out process.selinuxLabel",
        });
    }
    if spec.mounts().iter().flatten().any(is_mapped) {
        return Err(Error::Unsupported {
            what: "libcontainer mounts nothing with other owners than it has; leave out idmap, \
                   or have `engine = \"runc\"` in /etc/runvf/runtime.toml",
        });
    }
    if spec
        .mounts()
        .iter()
        .flatten()
        .any(|mount| mount.destination() == Path::new("/dev") && userns_mounts::is_bind(mount))
    {
        return Err(Error::Unsupported {
            what: "libcontainer fills /dev itself and takes none from outside; name the devices (--device), \
                   or have `engine = \"runc\"` in /etc/runvf/runtime.toml",
        });
    }
    if !global.systemd_cgroup
        && let Some(problem) = linux.cgroups_path().as_deref().and_then(cgroup_path::problem_with)
    {
        return Err(bad(&problem));
    }
    if global.systemd_cgroup && !unified() {
        return Err(Error::Unsupported { what: "--systemd-cgroup needs cgroup v2" });
    }
    Ok(spec)
}

/// libcontainer passes over it, and the owners would be those of the host.
fn is_mapped(mount: &Mount) -> bool {
    let mut options = mount.options().iter().flatten();
    mount.uid_mappings().is_some()
        || mount.gid_mappings().is_some()
        || options.any(|one| one == "idmap" || one == "ridmap")
}

fn unified() -> bool {
    use libcgroups::common::{CgroupSetup, get_cgroup_setup};
    matches!(get_cgroup_setup(), Ok(CgroupSetup::Unified))
}

fn root_of(spec: &Spec, bundle: &Path) -> PathBuf {
    let path = spec.root().as_ref().map(|root| bundle.join(root.path())).unwrap_or_default();
    fs::canonicalize(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::error::line;

    fn refused(change: impl FnOnce(&mut Value)) -> Option<String> {
        let mut spec = json!({
            "ociVersion": "1.0.2",
            "process": { "cwd": "/", "args": ["true"], "user": { "uid": 0, "gid": 0 } },
            "mounts": [{ "destination": "/m", "type": "bind", "source": "/tmp", "options": ["rbind"] }],
            "linux": {},
        });
        change(&mut spec);
        let bundle = tempfile::tempdir().unwrap();
        fs::write(bundle.path().join("config.json"), spec.to_string()).unwrap();
        let global = cli::Arguments::parse_from(["runvf", "list"]).global;
        load_spec(bundle.path(), &global).err().map(|error| line(&error))
    }

    #[test]
    fn what_libcontainer_would_pass_over_in_silence_is_refused() {
        assert_eq!(refused(|_| {}), None);
        assert_eq!(refused(|spec| spec["process"]["selinuxLabel"] = json!("")), None);
        let says = |told: Option<String>, what: &str| assert!(told.unwrap().contains(what));
        says(refused(|spec| spec["linux"]["mountLabel"] = json!("l")), "linux.mountLabel");
        says(refused(|spec| spec["process"]["selinuxLabel"] = json!("l")), "process.selinuxLabel");
        says(refused(|spec| spec["mounts"][0]["options"] = json!(["rbind", "ridmap"])), "idmap");
        let mapping = json!([{ "containerID": 0, "hostID": 7, "size": 1 }]);
        says(refused(|spec| spec["mounts"][0]["uidMappings"] = mapping), "idmap");
        says(refused(|spec| spec["mounts"][0]["destination"] = json!("/dev")), "fills /dev");
        says(refused(|spec| spec["process"] = Value::Null), "has no process");
        for root in ["", "/", "//a/../"] {
            says(refused(|spec| spec["linux"]["cgroupsPath"] = json!(root)), "every process");
        }
        assert_eq!(refused(|spec| spec["linux"]["cgroupsPath"] = json!("/runvf-none/a")), None);
    }
}
