//! poststop: the container's process is gone; its network namespace may be, too.

use std::io::Write;

use vf::Host;

use crate::state::State;

/// A VF that cannot be cleaned is quarantined and said so, but is no failure: some runtimes take a failing poststop hook for
/// a reason not to remove the container.
pub(crate) fn run(state: &State) {
    let mut stderr = std::io::stderr();
    let released = match vf::release(&Host::default(), &state.id) {
        Ok(released) => released,
        Err(error) => {
            let line = error.line();
            let _ = writeln!(stderr, "runvf: the VFs of {} are not released: {line}", state.id);
            return;
        }
    };
    for released in released {
        if let Some(complaint) = released.complaint() {
            let _ = writeln!(stderr, "runvf: {complaint}");
        }
    }
}
