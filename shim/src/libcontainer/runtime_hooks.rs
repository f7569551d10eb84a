//! The hooks that runvf runs itself, because libcontainer does it in another way than runc.
//!
//! - poststart: libcontainer runs them in the folder of its state.
//! - poststop: If a hook fails, libcontainer's `delete` fails before it removes the container's folder,
//!   and so does each later `delete`. After a failed `create`, libcontainer runs no poststop hooks. The
//!   runtime spec requires a warning and then the next hook (`runtime.md`, lifecycle, step 13), and
//!   runc runs the hooks after a failed create too.

use std::path::Path;

use libcontainer::container::{ContainerStatus, State};
use libcontainer::hooks::{HookError, run_hooks};
use libcontainer::oci_spec::runtime::{Hook, Hooks, Spec};

use crate::error::line;
use crate::log::Log;

/// Takes the poststart hooks out of a spec for libcontainer.
pub(super) fn take_poststart(spec: &mut Spec) {
    if let Some(mut hooks) = spec.hooks().clone() {
        spec.set_hooks(Some(hooks.set_poststart(None).clone()));
    }
}

/// Runs the poststart hooks up to the first that fails.
pub(crate) fn poststart(hooks: &[Hook], state: &State) -> Result<(), HookError> {
    let bundle = Path::new(&state.bundle);
    run_hooks(Some(&hooks.to_vec()), Some(state), Some(bundle), None, None)
}

/// Runs all poststop hooks. The log gets a warning for each hook that fails.
pub(crate) fn poststop(hooks: Option<&Hooks>, state: &State, log: &Log) {
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
