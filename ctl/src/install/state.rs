//! How an engine stands to runvf: what installing would still change is what is missing.

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde_json::Value;

use super::command::{self, ANSWER};
use super::root::Root;
use super::{Engine, NAME, Options, RUNTIME, Verb, docker, installed, podman_hooks};
use crate::error::Error;

#[derive(Debug)]
pub(crate) enum Standing {
    Absent,
    /// It knows runvf.
    Ready,
    /// These files do not say of runvf what they should.
    Untold(Vec<PathBuf>),
    /// The files say it, and the running engine does not know it.
    Unheard,
    /// It knows runvf and does not read its hooks.
    Unhooked {
        problem: String,
        mend: &'static str,
    },
    /// Something is in the way of installing.
    Blocked(Error),
}

pub(crate) fn standing(engine: Engine, root: &Path) -> Standing {
    let root = Root::new(root);
    if installed(&root, engine.daemon()).is_none() {
        return Standing::Absent;
    }
    // Forced, so that another's content counts as what is to be changed.
    let options = Options {
        dry_run: true,
        json: false,
        force: true,
        restart: false,
        root: PathBuf::new(),
        default: false,
    };
    match engine.plan(&root, Verb::Install, &options) {
        Err(error) => Standing::Blocked(error),
        Ok(plan) if !plan.changes.is_empty() => {
            let shown = plan.changes.into_iter().filter(|change| !change.quiet);
            Standing::Untold(shown.map(|change| change.path).collect())
        }
        Ok(_)
            if engine == Engine::Docker
                && root.is_host()
                && !docker::knows_runvf().unwrap_or(true) =>
        {
            Standing::Unheard
        }
        // Podman reads other files for other users.
        Ok(_) if engine == Engine::Podman && root.is_host() && geteuid().is_root() => hooks(&root),
        Ok(_) => Standing::Ready,
    }
}

fn hooks(root: &Root) -> Standing {
    match podman_hooks::problem(root) {
        Ok(None) => Standing::Ready,
        Ok(Some(problem)) => Standing::Unhooked { problem, mend: podman_hooks::MEND },
        Err(error) => Standing::Blocked(error),
    }
}

/// The newest API that the running dockerd speaks; `None` if it cannot be asked.
pub(crate) fn docker_api(root: &Path) -> Option<(u32, u32)> {
    if !Root::new(root).is_host() {
        return None;
    }
    let words = ["docker", "version", "-f", "{{json .Server.APIVersion}}"];
    let said: Value = serde_json::from_str(&command::ok(&words, ANSWER).ok()?).ok()?;
    let (major, minor) = said.as_str()?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Those of runvf's own programs that are not there.
pub(crate) fn missing_programs(root: &Path) -> Vec<&'static str> {
    let root = Root::new(root);
    let all = Engine::Podman.programs().iter().copied();
    all.filter(|program| !root.has(program)).collect()
}

/// What runvf itself says of `/etc/runvf/runtime.toml`: it warns of one that it cannot read whenever it can go on without.
///
/// # Errors
/// When the program cannot be run.
pub(crate) fn runtime_problem() -> Result<Option<String>, Error> {
    let said = command::run(&[RUNTIME, "features"], ANSWER)?;
    let warning = said.stderr.lines().find(|line| line.contains("runtime.toml"));
    Ok(warning.map(|line| line.trim_start_matches("runvf: warning: ").to_owned()))
}

impl Engine {
    pub(crate) const ALL: [Self; 4] = [Self::Docker, Self::Podman, Self::Containerd, Self::Crio];

    /// The command that an operator types.
    pub(crate) fn install_command(self) -> String {
        format!("`{NAME}ctl install {}`", self.name())
    }

    fn daemon(self) -> &'static str {
        match self {
            Self::Docker => "dockerd",
            other => other.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn at(folder: &Path, path: &str, text: &str) {
        let path = Root::new(folder).at(path).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn an_engine_is_absent_untold_ready_or_blocked() {
        let folder = tempfile::tempdir().unwrap();
        let now = || format!("{:?}", standing(Engine::Docker, folder.path()));
        assert_eq!(now(), "Absent");
        at(folder.path(), "/usr/bin/dockerd", "");
        assert_eq!(now(), "Untold([\"/etc/docker/daemon.json\"])");
        let told = "{\"runtimes\": {\"runvf\": {\"path\": \"/usr/bin/runvf\"}}}";
        at(folder.path(), "/etc/docker/daemon.json", told);
        assert_eq!(now(), "Ready");
        at(folder.path(), "/etc/docker/daemon.json", "{");
        assert!(now().starts_with("Blocked("), "{}", now());
    }

    #[test]
    fn a_hook_file_that_was_edited_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        at(folder.path(), "/usr/bin/podman", "");
        let hook = "/usr/share/containers/oci/hooks.d/runvf-attach.json";
        at(folder.path(), hook, "{}");
        let Standing::Untold(files) = standing(Engine::Podman, folder.path()) else { panic!() };
        assert!(files.contains(&PathBuf::from(hook)), "{files:?}");
    }
}
