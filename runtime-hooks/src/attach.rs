//! createRuntime: runs in the host's namespaces, after the container's have been made and before its process may run.

use vf::{Container, Host};

use crate::Error;
use crate::state::State;

pub(crate) fn run(state: &State) -> Result<(), Error> {
    let Some(request) = state.request()? else { return Ok(()) };
    let pid = state.pid.filter(|pid| *pid > 0).ok_or_else(|| Error::NoProcess(state.id.clone()))?;
    let grant = vf::authorize(&Host::default(), request, &state.id)?;
    grant.attach(&Container { id: state.id.clone(), pid })?;
    Ok(())
}
