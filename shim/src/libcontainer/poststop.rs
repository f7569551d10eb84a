//! Poststop hooks, which libcontainer runs too strictly: one that fails makes its `delete` fail before the container's
//! folder is gone, for ever, and when `create` fails it runs none at all. The runtime spec wants a warning and the next
//! hook (`runtime.md`, lifecycle, step 13), and runc runs them after a failed create too.

use libcontainer::container::{ContainerStatus, State};
use libcontainer::hooks::run_hooks;
use libcontainer::oci_spec::runtime::Hooks;

use crate::error::line;
use crate::log::Log;

pub(crate) fn run(hooks: Option<&Hooks>, state: &State, log: &Log) {
    let mut state = state.clone();
    state.status = ContainerStatus::Stopped;
    state.pid = None;
    for hook in hooks.and_then(|hooks| hooks.poststop().as_ref()).into_iter().flatten() {
        if let Err(error) = run_hooks(Some(&vec![hook.clone()]), Some(&state), None, None, None) {
            let path = hook.path().display();
            log.warn(&format!("poststop hook {path} of {}: {}", state.id, line(&error)));
        }
    }
}
