//! The steps of an install or uninstall, each delegated to the module of the engine.

use super::engine::Engine;
use super::options::{Action, Options};
use super::plan::Plan;
use super::root::Root;
use super::{cdi, containerd, crio, docker, docker_reload, podman, restart};
use crate::error::Error;

pub(super) fn plan(
    engine: Engine,
    root: &Root,
    action: Action,
    options: &Options,
) -> Result<Plan, Error> {
    match engine {
        Engine::Docker => docker::plan(root, action, options),
        Engine::Podman => podman::plan(root, action, options),
        Engine::Containerd => containerd::plan(root, action, options),
        Engine::Crio => crio::plan(root, action, options),
        Engine::Cdi => cdi::plan(root, action),
    }
}

/// Lets the engine validate the new files, before they are written.
pub(super) fn validate(engine: Engine, root: &Root, plan: &Plan) -> Result<(), Error> {
    match engine {
        Engine::Docker => docker_reload::validate(root, plan),
        Engine::Podman | Engine::Containerd | Engine::Crio | Engine::Cdi => Ok(()),
    }
}

/// The files were changed: makes the engine read them, and checks that it uses them.
pub(super) fn activate(
    engine: Engine,
    root: &Root,
    action: Action,
    options: &Options,
    plan: &mut Plan,
) -> Result<(), Error> {
    match engine {
        Engine::Docker => docker_reload::activate(root, action, plan),
        Engine::Podman => podman::check(root, action),
        Engine::Containerd => containerd::activate(root, action, options, plan),
        Engine::Crio => crio::activate(options, plan),
        Engine::Cdi => {
            cdi::watch(action, plan);
            Ok(())
        }
    }
}

/// The files need no change: checks that the engine uses them.
pub(super) fn ensure_active(
    engine: Engine,
    root: &Root,
    action: Action,
    options: &Options,
    plan: &mut Plan,
) -> Result<(), Error> {
    match engine {
        Engine::Docker => docker_reload::ensure_active(root, action, plan),
        Engine::Podman => podman::check(root, action),
        Engine::Containerd if options.restart => containerd::activate(root, action, options, plan),
        Engine::Crio if options.restart => crio::activate(options, plan),
        Engine::Containerd | Engine::Crio => Ok(()),
        Engine::Cdi => {
            cdi::watch(action, plan);
            Ok(())
        }
    }
}

/// The files were rolled back after the error `failed`: makes the engine read them again. Returns
/// the error to report.
pub(super) fn reactivate(engine: Engine, root: &Root, options: &Options, failed: Error) -> Error {
    match engine {
        Engine::Docker => {
            docker_reload::reload_after_rollback(root);
            failed
        }
        Engine::Podman | Engine::Cdi => failed,
        Engine::Containerd | Engine::Crio => restart::start_again(engine, options, failed),
    }
}
