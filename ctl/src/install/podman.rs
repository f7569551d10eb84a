//! Podman: files of our own in folders that it reads at every command. `make install` puts the same ones there.

use super::change::Change;
use super::command::{self, ANSWER};
use super::root::Root;
use super::{Engine, NAME, Options, Plan, RUNTIME, Verb, installed, podman_hooks};
use crate::error::Error;

/// What the hooks run.
pub(super) const HOOK: &str = "/usr/libexec/runvf/runvf-hook";

pub(super) const CONFIG: (&str, &str) = (
    "/etc/containers/containers.conf.d/50-runvf.conf",
    include_str!("../../../packaging/containers.conf.d/50-runvf.conf"),
);

pub(super) const HOOKS: [(&str, &str); 2] = [
    (
        "/usr/share/containers/oci/hooks.d/runvf-attach.json",
        include_str!("../../../packaging/hooks.d/runvf-attach.json"),
    ),
    (
        "/usr/share/containers/oci/hooks.d/runvf-detach.json",
        include_str!("../../../packaging/hooks.d/runvf-detach.json"),
    ),
];

pub(super) fn plan(root: &Root, verb: Verb, options: &Options) -> Result<Plan, Error> {
    let needed = verb == Verb::Install && root.is_host() && !options.force;
    if needed && installed(root, "podman").is_none() {
        return Err(Error::Missing {
            what: "podman".to_owned(),
            hint: "install Podman first; --force writes its configuration anyway".to_owned(),
        });
    }
    own_files(root, verb, options.force, &[CONFIG, HOOKS[0], HOOKS[1]])
}

/// Files that are wholly ours: made, or removed if they are still what was made.
pub(super) fn own_files(
    root: &Root,
    verb: Verb,
    force: bool,
    files: &[(&str, &str)],
) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    for (path, ours) in files {
        let old = root.read(path)?;
        let same = old.as_deref() == Some(*ours);
        match verb {
            Verb::Install => {
                if old.is_some() && !same && !force {
                    return Err(Error::Conflict {
                        problem: format!("{path} is there already, with something else in it"),
                        hint: "--force replaces it".to_owned(),
                    });
                }
                let change = Change::between(path, old, Some((*ours).to_owned()));
                if change.is_some() {
                    plan.lines.push(format!("wrote {path}"));
                }
                plan.changes.extend(change);
            }
            Verb::Uninstall if same => {
                plan.lines.push(format!("removed {path}"));
                plan.changes.extend(Change::between(path, old, None));
            }
            Verb::Uninstall if old.is_some() => {
                plan.notes.push(format!("left {path}: it is not what runvf wrote"));
            }
            Verb::Uninstall => {}
        }
    }
    Ok(plan)
}

pub(super) fn settle(root: &Root, verb: Verb) -> Result<(), Error> {
    if verb == Verb::Uninstall || installed(root, "podman").is_none() {
        return Ok(());
    }
    let ask = ["podman", "--runtime", NAME, "info", "--format", "{{.Host.OCIRuntime.Path}}"];
    let said = command::run(&ask, ANSWER)?;
    let (what, hint) = if !said.success || said.stdout.trim() != RUNTIME {
        let what = format!("does not know {NAME}: {}", said.last_line());
        (what, "another containers.conf may name it, too")
    } else if let Some(problem) = podman_hooks::problem(root)? {
        (problem, podman_hooks::MEND)
    } else {
        return Ok(());
    };
    Err(Error::NotTaken { engine: Engine::Podman.name(), what, hint: hint.to_owned() })
}
