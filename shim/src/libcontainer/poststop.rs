//! Poststop hooks. If a hook fails, libcontainer's `delete` fails before it removes the container's
//! folder, and so does each later `delete`. After a failed `create`, libcontainer runs no poststop
//! hooks. The runtime spec requires a warning and then the next hook (`runtime.md`, lifecycle,
//! step 13), and runc runs the hooks after a failed create too.

use libcontainer::container::{ContainerStatus, State};
use libcontainer::hooks::run_hooks;
use libcontainer::oci_spec::runtime::Hooks;

use crate::error::line;
use crate::log::Log;

/// Runs all poststop hooks. The log gets a warning for each hook that fails.
pub(crate) fn run(hooks: Option<&Hooks>, state: &State, log: &Log) {
    let mut state = state.clone();
    state.status = ContainerStatus::Stopped;
    state.pid = None;
    for hook in hooks.and_then(|hooks| hooks.poststop().as_ref()).into_iter().flatten() {
        if let Err(error) = run_hooks(Some(&vec![hook.clone()]), Some(&state), None, None, None) {
            let path = hook.path().display();
            let (id, problem) = (&state.id, line(&error));
            log.warn(&format!("poststop hook {path} of container {id} failed: {problem}"));
        }
    }
}
