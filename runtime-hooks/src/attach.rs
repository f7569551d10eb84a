//! The createRuntime hook: runs in the host's namespaces, after the container's namespaces were
//! created and before its process starts.

use vf::{Container, Host};

use crate::bundle::net_devices;
use crate::error::Error;
use crate::state::State;

pub(crate) fn run(state: &State) -> Result<(), Error> {
    let init = state.pid.filter(|pid| *pid > 0);
    let devices = state.bundle.as_deref().map_or_else(|| Ok(Vec::new()), net_devices)?;
    vf::refuse_managed_netdevs(&Host::default(), &state.id, init, &devices)?;
    let Some(request) = state.request()? else { return Ok(()) };
    let pid = init.ok_or_else(|| Error::NoProcess(state.id.clone()))?;
    let grant = vf::authorize(&Host::default(), request, &state.id)?;
    grant.attach(&Container { id: state.id.clone(), pid })?;
    Ok(())
}
