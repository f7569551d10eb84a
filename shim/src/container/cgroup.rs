//! Lists and kills the processes of a container. The cgroup identifies them: in a container without
//! its own pid namespace, processes outlive the init process.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use libcgroups::common::{
    AnyCgroupManager, CgroupConfig, CgroupManager as _, CgroupSetup, FreezerState,
    create_cgroup_manager, get_cgroup_setup,
};
use libcontainer::config::YoukiConfig;
use libcontainer::error::LibcontainerError;
use nix::libc;
use nix::unistd::Pid;

use super::cgroup_path::{self, CGROUP_ROOT};
use super::signal;
use super::state::Container;
use crate::error::Error;

/// The file that `YoukiConfig::save` writes.
const CONFIG_FILE: &str = "youki_config.json";

/// runc waits as long for a killed container (`delete.go`, `killContainer`).
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns libcgroups' manager for the container's cgroup.
pub(crate) fn manager(container: &Container) -> Result<AnyCgroupManager, Error> {
    let id = container.id();
    let config =
        container.library.spec().map_err(Error::library("read the configuration of", id))?;
    manager_of(id, config, container.library.systemd())
}

fn manager_of(
    id: &str,
    config: YoukiConfig,
    systemd_cgroup: bool,
) -> Result<AnyCgroupManager, Error> {
    let (cgroup_path, container_name) = (config.cgroup_path, id.to_owned());
    create_cgroup_manager(CgroupConfig { cgroup_path, systemd_cgroup, container_name })
        .map_err(|source| Error::NoCgroup { id: id.to_owned(), source: Box::new(source) })
}

/// The processes in the cgroup and below it. The list is empty if the cgroup does not exist.
pub(crate) fn pids(manager: &AnyCgroupManager) -> Vec<Pid> {
    let all = manager.get_all_pids().unwrap_or_default();
    // The kernel lists a process of another pid namespace as 0. runvf itself is listed only if the
    // spec names the cgroup that runvf runs in.
    let is_of_container = |pid: &Pid| pid.as_raw() > 0 && *pid != Pid::this();
    // libcgroups uses another version of nix, and so a different type `Pid`.
    all.into_iter().map(|pid| Pid::from_raw(pid.as_raw())).filter(is_of_container).collect()
}

/// Kills all processes in the container's cgroup and waits until it is empty.
///
/// # Errors
/// [`Error::Unkillable`] if processes still exist 10 s later.
pub(crate) fn kill_and_wait(container: &Container) -> Result<(), Error> {
    if container.is_incomplete() {
        // The first state that libcontainer writes does not say whether systemd made the cgroup,
        // and the cgroup may already contain processes.
        return match kill_by_config(&container.library.root, container.id()) {
            Err(unkillable @ Error::Unkillable { .. }) => Err(unkillable),
            _ => Ok(()),
        };
    }
    kill_at_once(container);
    match manager(container) {
        Ok(manager) => kill_through_manager(container.id(), &manager),
        // libcontainer writes its configuration before it puts a process into the cgroup.
        Err(_) if !container.library.root.join(CONFIG_FILE).exists() => Ok(()),
        // A manager for systemd fails if systemd does not answer. The recorded path works without
        // systemd.
        Err(error) => match unified_cgroup(container) {
            Some(cgroup) => kill_until_empty(container.id(), || pids_below(cgroup), || {}),
            None => Err(error),
        },
    }
}

/// Kills all processes in the container's cgroup and below it through `cgroup.kill` (Linux 5.14).
/// This also kills processes that are forked at the same time; a loop over a list of pids can miss
/// them.
pub(crate) fn kill_at_once(container: &Container) {
    if let Some(cgroup) = unified_cgroup(container) {
        // An older kernel has no such file. Then the caller kills the processes one by one.
        let _ = fs::write(Path::new(CGROUP_ROOT).join(cgroup).join("cgroup.kill"), "1");
    }
}

/// The path of the container's cgroup v2. `None` if it is not known, or if runvf itself runs in
/// that cgroup.
fn unified_cgroup(container: &Container) -> Option<&Path> {
    let current = cgroup_path::of_process(Pid::this().as_raw());
    let cgroup = container.record.cgroup.as_deref()?;
    (!current.is_some_and(|current| current.starts_with(cgroup))).then_some(cgroup)
}

/// The processes in a cgroup v2 and below it.
fn pids_below(cgroup: &Path) -> Vec<Pid> {
    let mut pids = Vec::new();
    let mut folders = vec![Path::new(CGROUP_ROOT).join(cgroup)];
    while let Some(folder) = folders.pop() {
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw));
        let below = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    pids.retain(|pid| pid.as_raw() > 0);
    pids
}

/// Removes the cgroups that the container's processes made below its own. With the cgroupfs driver,
/// libcgroups removes only the container's cgroup, which fails if it has others below it. The
/// processes must be dead.
pub(crate) fn remove_nested(container: &Container) {
    if let Some(cgroup) = unified_cgroup(container) {
        remove_children(&Path::new(CGROUP_ROOT).join(cgroup));
    }
}

/// Removes all folders below a folder. If a folder remains, libcgroups reports that it cannot remove
/// the container's cgroup.
fn remove_children(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for child in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_children(&child.path());
        remove_when_empty(&child.path());
    }
}

/// Removes a cgroup. It is busy for a moment after its last process has exited.
fn remove_when_empty(folder: &Path) {
    const POLL_INTERVAL: Duration = Duration::from_millis(10);
    const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
    let deadline = Instant::now() + BUSY_TIMEOUT;
    while let Err(error) = fs::remove_dir(folder)
        && error.raw_os_error() == Some(libc::EBUSY)
        && Instant::now() < deadline
    {
        sleep(POLL_INTERVAL);
    }
}

/// The cgroup of the init process, if no other process can be added to the container's cgroup: the
/// init process has moved into a cgroup below it and has enabled controllers there.
pub(crate) fn divided(container: &Container) -> Option<PathBuf> {
    let cgroup = container.record.cgroup.as_deref()?;
    let init = cgroup_path::of_process(container.init()?.as_raw())?;
    (init != cgroup && is_divided(&Path::new(CGROUP_ROOT).join(cgroup))).then_some(init)
}

/// Whether the kernel refuses processes in a cgroup: it has controllers for its children, or it is
/// an invalid domain (cgroups(7), "no internal processes" and "threaded mode").
fn is_divided(folder: &Path) -> bool {
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
    !read("cgroup.subtree_control").trim().is_empty()
        || read("cgroup.type").trim().ends_with("invalid")
}

/// Kills all processes of a container whose state cannot be read, and removes its cgroup, from
/// libcontainer's configuration in `folder`. The configuration does not say whether systemd made
/// the cgroup, and the caller may not know either: containerd cleans up after a killed shim without
/// `--systemd-cgroup`. So both drivers are tried.
///
/// # Errors
/// [`Error::Unkillable`] if processes still exist 10 s later; another error if the configuration
/// cannot be read.
pub(crate) fn kill_by_config(folder: &Path, id: &str) -> Result<(), Error> {
    let config = YoukiConfig::load(folder);
    let config = config.map_err(|error| {
        Error::library("read the configuration of", id)(LibcontainerError::Config(error))
    })?;
    for systemd in [false, true] {
        // The path may be valid for only one of the two drivers.
        let Ok(manager) = manager_of(id, config.clone(), systemd) else { continue };
        kill_through_manager(id, &manager)?;
        // An empty cgroup that remains does no harm.
        let _ = manager.remove();
    }
    Ok(())
}

fn kill_through_manager(id: &str, manager: &AnyCgroupManager) -> Result<(), Error> {
    kill_until_empty(id, || pids(manager), || thaw_if_needed(manager))
}

/// Sends SIGKILL to all processes of the list until the list is empty.
fn kill_until_empty(id: &str, list: impl Fn() -> Vec<Pid>, thaw: impl Fn()) -> Result<(), Error> {
    const POLL_INTERVAL: Duration = Duration::from_millis(10);
    let deadline = Instant::now() + KILL_TIMEOUT;
    loop {
        let pids = list();
        if pids.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let id = id.to_owned();
            return Err(Error::Unkillable { id, seconds: KILL_TIMEOUT.as_secs() });
        }
        for pid in pids {
            // ESRCH means that the process has exited. After any other error the process is still
            // listed at the deadline.
            let _ = signal::send(pid, libc::SIGKILL);
        }
        thaw();
        sleep(POLL_INTERVAL);
    }
}

/// Thaws a cgroup v1, because a frozen process there does not die from SIGKILL. In cgroup v2 it
/// does.
pub(crate) fn thaw_if_needed(manager: &AnyCgroupManager) {
    if !matches!(get_cgroup_setup(), Ok(CgroupSetup::Unified)) {
        // This fails if there is no freezer, and then no process is frozen.
        let _ = manager.freeze(FreezerState::Thawed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_with_controllers_for_its_children_is_divided() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        assert!(!is_divided(folder.path()));
        write("cgroup.subtree_control", "\n");
        write("cgroup.type", "domain\n");
        assert!(!is_divided(folder.path()));
        write("cgroup.type", "domain invalid\n");
        assert!(is_divided(folder.path()));
        write("cgroup.type", "domain\n");
        write("cgroup.subtree_control", "pids\n");
        assert!(is_divided(folder.path()));
    }

    #[test]
    fn all_folders_below_a_folder_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        fs::create_dir(folder.path().join("d")).unwrap();
        remove_children(folder.path());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
