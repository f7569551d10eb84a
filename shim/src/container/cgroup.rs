//! The processes of a container, which are those of its cgroup: without a pid namespace of its own they outlive its init.

use std::fs;
use std::path::Path;
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

/// `YoukiConfig::save`
const CONFIG_FILE: &str = "youki_config.json";

/// As long as runc waits for a killed container (`delete.go`, `killContainer`).
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Empty if the cgroup is gone.
pub(crate) fn pids(manager: &AnyCgroupManager) -> Vec<Pid> {
    let all = manager.get_all_pids().unwrap_or_default();
    // 0 is a process of another pid namespace. Our own is there only if a spec names the cgroup we run in.
    let theirs = |pid: &Pid| pid.as_raw() > 0 && *pid != Pid::this();
    // libcgroups has a nix of its own, and so another `Pid`.
    all.into_iter().map(|pid| Pid::from_raw(pid.as_raw())).filter(theirs).collect()
}

/// Kills everything in the cgroup and waits until it is gone.
pub(crate) fn kill_and_wait(container: &Container) -> Result<(), Error> {
    if container.is_incomplete() {
        // libcontainer's first state does not say whose the cgroup is, and there may be processes in it.
        return match kill_by_config(&container.library.root, container.id()) {
            Err(alive @ Error::Unkillable { .. }) => Err(alive),
            _ => Ok(()),
        };
    }
    kill_at_once(container);
    match manager(container) {
        Ok(manager) => sweep_with(container.id(), &manager),
        // Without a configuration no process was ever put there.
        Err(_) if !container.library.root.join(CONFIG_FILE).exists() => Ok(()),
        // systemd may not answer. Where the processes are is known without it.
        Err(unknown) => match own(container) {
            Some(cgroup) => sweep_all(container.id(), || listed(cgroup), || {}),
            None => Err(unknown),
        },
    }
}

/// All that are in it and below, those that are forked meanwhile too (`cgroup.kill`, Linux 5.14). Whoever forks faster than a list is
/// read escapes from the list.
pub(crate) fn kill_at_once(container: &Container) {
    if let Some(cgroup) = own(container) {
        // Where there is no such file, the list must do.
        let _ = fs::write(Path::new(CGROUP_ROOT).join(cgroup).join("cgroup.kill"), "1");
    }
}

/// The container's cgroup of version 2, unless whoever asks is in it.
fn own(container: &Container) -> Option<&Path> {
    let ours = cgroup_path::of_process(Pid::this().as_raw());
    let cgroup = container.record.cgroup.as_deref()?;
    (!ours.is_some_and(|ours| ours.starts_with(cgroup))).then_some(cgroup)
}

/// The processes of a cgroup of version 2, and of those below it.
fn listed(cgroup: &Path) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(CGROUP_ROOT).join(cgroup)];
    while let Some(folder) = folders.pop() {
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw));
        let below = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    found.retain(|pid| pid.as_raw() > 0);
    found
}

/// The same for a container of which nothing but its configuration can be read, and removes the cgroup. Who made that is not in it, and
/// whoever asks need not know: containerd cleans up after a killed shim without `--systemd-cgroup`. So both are looked at.
pub(crate) fn kill_by_config(folder: &Path, id: &str) -> Result<(), Error> {
    let config = YoukiConfig::load(folder);
    let config = config.map_err(|error| {
        Error::library("read the configuration of", id)(LibcontainerError::Config(error))
    })?;
    for systemd in [false, true] {
        // A path that only one of them has words for.
        let Ok(manager) = manager_of(id, config.clone(), systemd) else { continue };
        sweep_with(id, &manager)?;
        // It is empty; that it stays there would be ugly, and no more.
        let _ = manager.remove();
    }
    Ok(())
}

fn sweep_with(id: &str, manager: &AnyCgroupManager) -> Result<(), Error> {
    sweep_all(id, || pids(manager), || thaw_if_needed(manager))
}

fn sweep_all(id: &str, list: impl Fn() -> Vec<Pid>, thaw: impl Fn()) -> Result<(), Error> {
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
            // ESRCH: gone already. Anything else shows at the deadline.
            let _ = signal::send(pid, libc::SIGKILL);
        }
        thaw();
        sleep(Duration::from_millis(10));
    }
}

/// A frozen process of cgroup v1 does not even die; in v2 SIGKILL gets through.
pub(crate) fn thaw_if_needed(manager: &AnyCgroupManager) {
    if !matches!(get_cgroup_setup(), Ok(CgroupSetup::Unified)) {
        // Fails where there is no freezer, and then nothing is frozen.
        let _ = manager.freeze(FreezerState::Thawed);
    }
}
