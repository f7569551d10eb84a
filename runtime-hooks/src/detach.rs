//! The poststop hook: the container's process has exited, and its network namespace may be gone.

use std::io::Write;

use vf::Host;

use crate::state::State;

/// A VF that cannot be cleaned is quarantined and reported, but the hook still succeeds: some
/// runtimes do not remove a container after a failed poststop hook.
pub(crate) fn run(state: &State) {
    let mut stderr = std::io::stderr();
    let released = match vf::release(&Host::default(), &state.id) {
        Ok(released) => released,
        Err(error) => {
            let line = error.line();
            let _ = writeln!(stderr, "runvf: cannot release the VFs of {}: {line}", state.id);
            return;
        }
    };
    for released in released {
        if let Some(message) = released.complaint() {
            let _ = writeln!(stderr, "runvf: {message}");
        }
    }
}
