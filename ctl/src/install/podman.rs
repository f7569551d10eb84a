//! Podman: files of runvf's own, in directories that Podman reads at every command. The package has
//! the same hook files.

use super::command::{self, COMMAND_TIMEOUT};
use super::engine::{Engine, NAME, RUNTIME};
use super::options::{Action, Options};
use super::own_files;
use super::plan::Plan;
use super::podman_hooks::{self, HOOKS};
use super::podman_version;
use super::root::Root;
use crate::error::Error;

const CONFIG: (&str, &str) = (
    "/etc/containers/containers.conf.d/50-runvf.conf",
    include_str!("../../../packaging/containers.conf.d/50-runvf.conf"),
);

pub(super) fn plan(root: &Root, action: Action, options: &Options) -> Result<Plan, Error> {
    let on_host = action == Action::Install && root.is_host();
    let is_missing = root.find_program("podman").is_none();
    if on_host && is_missing && !options.force {
        return Err(Error::NotInstalled {
            object: "podman".to_owned(),
            hint: "install Podman first, or use --force to write its configuration anyway"
                .to_owned(),
        });
    }
    if on_host
        && !is_missing
        && let Some(unsuitable) = podman_version::check()?
    {
        return Err(unsuitable.error());
    }
    own_files::plan(root, action, options.force, &[CONFIG, HOOKS[0], HOOKS[1]])
}

/// Checks that Podman knows the runtime and reads the hooks.
pub(super) fn check(root: &Root, action: Action) -> Result<(), Error> {
    if action == Action::Uninstall || root.find_program("podman").is_none() {
        return Ok(());
    }
    let words = ["podman", "--runtime", NAME, "info", "--format", "{{.Host.OCIRuntime.Path}}"];
    let output = command::run(&words, COMMAND_TIMEOUT)?;
    let (problem, hint) = if !output.success || output.stdout.trim() != RUNTIME {
        let problem = format!("does not know {NAME}: {}", output.last_line());
        (problem, "check whether another containers.conf overrides it")
    } else if let Some(problem) = podman_hooks::problem(root)? {
        (problem, podman_hooks::REMEDY)
    } else {
        return Ok(());
    };
    Err(Error::NotApplied { engine: Engine::Podman.name(), problem, hint: hint.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use toml_edit::Document;

    use super::*;

    #[test]
    fn drop_in_appends_the_hooks_directory() {
        let parsed = Document::parse(CONFIG.1).unwrap();
        let dirs = parsed["engine"]["hooks_dir"].as_array().unwrap();
        let (dir, option) = (dirs.get(0).unwrap(), dirs.get(1).unwrap());
        assert_eq!(option.as_inline_table().unwrap()["append"].as_bool(), Some(true));
        let dir = dir.as_str().unwrap();
        assert!(HOOKS.iter().all(|(path, _)| Path::new(path).parent() == Some(Path::new(dir))));
        assert!(podman_hooks::REMEDY.contains(dir));
    }
}
