//! Whether runvf is registered with an engine, for `runvfctl doctor`: what an install would still
//! change is missing.

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde_json::Value;

use super::change::Change;
use super::command::{self, COMMAND_TIMEOUT};
use super::engine::{Engine, RUNTIME};
use super::options::{Action, Options};
use super::podman_version::{self, Unsuitable};
use super::root::Root;
use super::{docker_reload, own_files, podman_hooks, steps};
use crate::error::Error;

#[derive(Debug)]
pub(crate) enum State {
    NotInstalled,
    /// The engine knows runvf.
    Ready,
    /// These files do not have runvf's configuration.
    NotConfigured(Vec<PathBuf>),
    /// The files have it, but the running engine does not know runvf.
    NotReloaded,
    /// The engine would start a sensor without its VF, or let an image ask for a VLAN.
    Unsafe {
        problem: String,
        remedy: &'static str,
    },
    /// An install would fail.
    Blocked(Error),
}

pub(crate) fn state(engine: Engine, root: &Path) -> State {
    let root = Root::new(root);
    if root.find_program(engine.daemon()).is_none() {
        return State::NotInstalled;
    }
    if engine == Engine::Podman
        && root.is_host()
        && let Ok(Some(Unsuitable::ObeysImages(problem))) = podman_version::check()
    {
        return State::Unsafe { problem, remedy: podman_version::REMEDY };
    }
    match steps::plan(engine, &root, Action::Install, &Options::for_check()) {
        Err(error) => State::Blocked(error),
        Ok(plan) if plan.changes.iter().any(is_missing) => {
            let missing = plan.changes.into_iter().filter(is_missing);
            State::NotConfigured(missing.map(|change| change.path).collect())
        }
        Ok(_)
            if engine == Engine::Docker
                && root.is_host()
                && !docker_reload::knows_runvf().unwrap_or(true) =>
        {
            State::NotReloaded
        }
        // Podman reads other files for other users.
        Ok(_) if engine == Engine::Podman && root.is_host() && geteuid().is_root() => hooks(&root),
        Ok(_) => State::Ready,
    }
}

/// Whether the engine lacks this change of its files. It works with the comments of an earlier
/// version of runvf.
fn is_missing(change: &Change) -> bool {
    let is_same = match (&change.old, &change.new) {
        (Some(old), Some(new)) => own_files::same_meaning(old, new),
        _ => false,
    };
    !change.internal && !is_same
}

fn hooks(root: &Root) -> State {
    match podman_hooks::problem(root) {
        Ok(None) => State::Ready,
        Ok(Some(problem)) => State::Unsafe { problem, remedy: podman_hooks::REMEDY },
        Err(error) => State::Blocked(error),
    }
}

/// The newest API version of the running dockerd; `None` if it does not answer.
pub(crate) fn docker_api(root: &Path) -> Option<(u32, u32)> {
    if !Root::new(root).is_host() {
        return None;
    }
    let words = ["docker", "version", "-f", "{{json .Server.APIVersion}}"];
    let output = command::stdout(&words, COMMAND_TIMEOUT).ok()?;
    let version: Value = serde_json::from_str(&output).ok()?;
    let (major, minor) = version.as_str()?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Major and minor version of the running dockerd; `None` if it does not answer.
pub(crate) fn docker_version() -> Option<(u32, u32)> {
    let words = ["docker", "version", "-f", "{{.Server.Version}}"];
    let output = command::stdout(&words, COMMAND_TIMEOUT).ok()?;
    let mut numbers = output.trim().split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The folders from which the running dockerd reads CDI files; empty if CDI is off. `None` if
/// dockerd does not answer, or is older than 25 and has no CDI.
pub(crate) fn docker_cdi_folders() -> Option<Vec<String>> {
    let words = ["docker", "info", "-f", "{{json .CDISpecDirs}}"];
    let output = command::stdout(&words, COMMAND_TIMEOUT).ok()?;
    serde_json::from_str::<Option<Vec<String>>>(&output).ok().map(Option::unwrap_or_default)
}

/// The programs of runvf that are not installed.
pub(crate) fn missing_programs(root: &Path) -> Vec<&'static str> {
    let root = Root::new(root);
    let all = Engine::Podman.runvf_programs().iter().copied();
    all.filter(|program| !root.exists(program)).collect()
}

/// The warning that runvf prints about `/etc/runvf/runtime.toml`. Most of its commands only warn
/// about a file that they cannot read, and continue without it.
///
/// # Errors
/// When the program cannot be run.
pub(crate) fn runtime_config_problem() -> Result<Option<String>, Error> {
    let output = command::run(&[RUNTIME, "features"], COMMAND_TIMEOUT)?;
    let warning = output.stderr.lines().find(|line| line.contains("runtime.toml"));
    Ok(warning.map(|line| line.trim_start_matches("runvf: warning: ").to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(dir: &Path, path: &str, text: &str) {
        let path = Root::new(dir).resolve(path).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn engine_is_not_installed_not_configured_ready_or_blocked() {
        let dir = tempfile::tempdir().unwrap();
        let current = || format!("{:?}", state(Engine::Docker, dir.path()));
        assert_eq!(current(), "NotInstalled");
        write(dir.path(), "/usr/bin/dockerd", "");
        assert_eq!(current(), "NotConfigured([\"/etc/docker/daemon.json\"])");
        let configured = "{\"runtimes\": {\"runvf\": {\"path\": \"/usr/bin/runvf\"}}}";
        write(dir.path(), "/etc/docker/daemon.json", configured);
        assert_eq!(current(), "Ready");
        write(dir.path(), "/etc/docker/daemon.json", "{");
        assert!(current().starts_with("Blocked("), "{}", current());
    }

    #[test]
    fn edited_hook_file_is_not_configured() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "/usr/bin/podman", "");
        let hook = "/usr/share/containers/oci/hooks.d/runvf-attach.json";
        write(dir.path(), hook, "{}");
        let State::NotConfigured(files) = state(Engine::Podman, dir.path()) else { panic!() };
        assert!(files.contains(&PathBuf::from(hook)), "{files:?}");
    }
}
