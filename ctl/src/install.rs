//! `runvfctl install ENGINE` and `uninstall ENGINE`: registers runvf with an engine or as CDI
//! devices, and unregisters it.
//!
//! All files are read first, and the changes become a value ([`plan::Plan`]). If anything prevents
//! the install, no file is written. If the engine does not use the new files, all of them are
//! rolled back.

mod cdi;
mod cdi_files;
mod change;
pub(crate) mod command;
mod containerd;
mod containerd_dump;
mod containerd_imports;
mod containerd_removal;
mod containerd_toml;
mod crio;
mod daemon_commands;
mod daemon_json;
mod daemon_processes;
mod docker;
mod docker_reload;
mod dockerd;
mod engine;
#[cfg(test)]
mod hostile;
mod options;
mod own_files;
mod plan;
mod podman;
mod podman_hooks;
mod podman_network;
mod podman_version;
mod record;
mod report;
mod restart;
mod root;
mod state;
mod steps;
mod temporary_text;
#[cfg(test)]
mod tests;
mod toml_document;
mod transaction;
mod trusted_folder;

use std::path::Path;

use nix::unistd::geteuid;
use vf::Host;

pub(crate) use cdi::{CdiState, cdi_state, refresh as refresh_cdi};
pub(crate) use engine::Engine;
pub(crate) use options::{Action, Options};
pub(crate) use podman_network::podman_network_problem;
pub(crate) use state::{
    State, docker_api, docker_cdi_folders, docker_version, missing_programs,
    runtime_config_problem, state,
};

use crate::error::Error;
use crate::setup;
use change::Change;
use plan::Plan;
use root::Root;

pub(crate) fn run(action: Action, engine: Engine, options: &Options) -> Result<String, Error> {
    if options.default && engine != Engine::Docker {
        return Err(Error::Conflict {
            problem: format!("--default is for docker only, not for {}", engine.name()),
            hint: "name the runtime when you start the pod or the container".to_owned(),
        });
    }
    let root = Root::new(&options.root);
    if action == Action::Install && root.is_host() {
        engine.runvf_programs().iter().try_for_each(|program| require_program(&root, program))?;
    }
    let mut plan = steps::plan(engine, &root, action, options)?;
    if options.dry_run {
        return Ok(report::dry_run(engine, &plan, options.json));
    }
    if plan.changes.is_empty() {
        let state = match action {
            Action::Install => "already installed: nothing to change",
            Action::Uninstall => "not installed: nothing to change",
        };
        plan.done.push(state.to_owned());
        if root.is_host() && geteuid().is_root() {
            steps::ensure_active(engine, &root, action, options, &mut plan)?;
        }
    } else {
        apply(&root, action, engine, options, &mut plan)?;
    }
    if action == Action::Uninstall && root.is_host() {
        unpark_vfs(&mut plan);
    }
    Ok(report::done(engine, &plan, options.json))
}

fn apply(
    root: &Root,
    action: Action,
    engine: Engine,
    options: &Options,
    plan: &mut Plan,
) -> Result<(), Error> {
    if root.is_host() && !geteuid().is_root() {
        return Err(Error::NotRoot { engine: engine.name() });
    }
    if root.is_host() {
        steps::validate(engine, root, plan)?;
    }
    // Record and backup are removed last: an uninstall that is interrupted while the engine reloads
    // can be repeated.
    let (undo_data, changes): (Vec<_>, Vec<_>) =
        plan.changes.iter().cloned().partition(Change::removes_undo_data);
    let rollback = transaction::apply(root, &changes)?;
    if root.is_host()
        && let Err(error) = steps::activate(engine, root, action, options, plan)
    {
        drop(rollback);
        return Err(steps::reactivate(engine, root, options, error));
    }
    rollback.keep();
    transaction::apply(root, &undo_data)?.keep();
    Ok(())
}

/// Gives parked VFs their driver back once no engine knows runvf, because other programs expect the
/// netdevs of VFs. A failure does not keep the engine registered; `runvfctl setup --undo` repeats it.
fn unpark_vfs(plan: &mut Plan) {
    let host = Host::default();
    // Most hosts have no such PF, and asking an engine takes time.
    let is_in_use = || {
        cdi::is_installed(&Root::new(Path::new("/"))) || Engine::ALL.into_iter().any(is_registered)
    };
    if !vf::has_parked_pfs(&host) || is_in_use() {
        return;
    }
    match vf::undo_setup(&host) {
        Ok(all) => {
            let (done, failed): (Vec<_>, Vec<_>) = all.iter().partition(|pf| pf.result.is_ok());
            plan.done.extend(done.into_iter().map(setup::line));
            plan.notes.extend(failed.into_iter().map(setup::line));
        }
        Err(error) => plan.notes.push(format!("VFs stay without driver: {}", error.line())),
    }
}

fn is_registered(engine: Engine) -> bool {
    let state = state(engine, Path::new("/"));
    matches!(state, State::Ready | State::NotReloaded | State::Unsafe { .. })
}

/// A missing program is an error, because Podman then fails every container with a hook, and Docker
/// every container with the runtime.
fn require_program(root: &Root, program: &str) -> Result<(), Error> {
    match root.exists(program) {
        true => Ok(()),
        false => Err(Error::NotInstalled {
            object: program.to_owned(),
            hint: "run `make install`".to_owned(),
        }),
    }
}
