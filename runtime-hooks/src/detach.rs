//! poststop: the container's process is gone; its network namespace may be, too.

use std::io::Write;

use vf::Host;

use crate::Error;
use crate::state::State;

/// A VF that cannot be cleaned is quarantined and said so, but is no failure: some runtimes take a failing poststop hook for
/// a reason not to remove the container.
pub(crate) fn run(state: &State) -> Result<(), Error> {
    for released in vf::release(&Host::default(), &state.id)? {
        if let (what, Some(why)) = released.outcome.parts() {
            let _ = writeln!(std::io::stderr(), "runvf: VF {} is {what}: {why}", released.vf);
        }
    }
    Ok(())
}
