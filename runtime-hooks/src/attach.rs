//! The createRuntime hook: runs in the host's namespaces, after the container's namespaces were
//! created and before its process starts.

use vf::{Container, Device, Host};

use crate::bundle::net_devices;
use crate::error::Error;
use crate::state::State;

/// Attaches the VFs of the annotations. `device`: the CDI device that the hook was called for.
pub(crate) fn run(state: &State, device: Option<&Device>) -> Result<(), Error> {
    let init = state.pid.filter(|pid| *pid > 0);
    let devices = state.bundle.as_deref().map_or_else(|| Ok(Vec::new()), net_devices)?;
    vf::refuse_managed_netdevs(&Host::default(), &state.id, init, &devices)?;
    let request = state.request()?;
    if request.is_none() && device.is_none() {
        return Ok(());
    }
    let host = Host::default();
    let pid = init.ok_or_else(|| Error::NoProcess(state.id.clone()))?;
    let container = Container { id: state.id.clone(), pid };
    // The annotations come first, because they name their interfaces, and a device takes the next
    // free name.
    if let Some(request) = request {
        vf::authorize(&host, request, &state.id)?.attach(&container)?;
    }
    if let Some(device) = device {
        vf::attach_device(&host, device, &container)?;
    }
    Ok(())
}
