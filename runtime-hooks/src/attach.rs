//! The createRuntime hook: runs in the host's namespaces, after the container's namespaces were
//! created and before its process starts.

use vf::{Container, Host};

use crate::error::Error;
use crate::state::State;

pub(crate) fn run(state: &State) -> Result<(), Error> {
    let Some(request) = state.request()? else { return Ok(()) };
    let pid = state.pid.filter(|pid| *pid > 0).ok_or_else(|| Error::NoProcess(state.id.clone()))?;
    let grant = vf::authorize(&Host::default(), request, &state.id)?;
    grant.attach(&Container { id: state.id.clone(), pid })?;
    Ok(())
}
