//! The createRuntime hook: runs in the host's namespaces, after the container's namespaces were
//! created and before its process starts.

use vf::{Container, Device, Grant, Host, PodRole, Request};

use crate::bundle::net_devices;
use crate::cri;
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
    let pid = init.ok_or_else(|| Error::NoProcess(state.id.clone()))?;
    let container = Container { id: state.id.clone(), pid };
    // The annotations come first, because they name their interfaces, and a device takes the next
    // free name.
    if let Some(request) = request {
        authorize(state, request)?.attach(&container)?;
    }
    if let Some(device) = device {
        authorize(state, device.request())?.attach_device(&container)?;
    }
    Ok(())
}

fn authorize(state: &State, mut request: Request) -> Result<Grant, Error> {
    let host = Host::default();
    request.pod = match pod_role(state) {
        Err(Error::Vf(error)) => {
            return Err(vf::refuse(&host, &request, &state.id, error).into());
        }
        role => role?,
    };
    Ok(vf::authorize(&host, request, &state.id)?)
}

/// What the container is to its pod. `runtime.toml` is read only if an engine for pods may have
/// made the container.
fn pod_role(state: &State) -> Result<Option<PodRole>, Error> {
    let pairs = state.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let of_pod: Vec<_> = pairs.filter(|(key, _)| vf::is_pod_key(key)).collect();
    if of_pod.is_empty() {
        return Ok(None);
    }
    Ok(vf::pod_role(of_pod, cri::engine()?)?)
}
