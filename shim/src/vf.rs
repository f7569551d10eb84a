//! The calls into the crate `vf`: `create` authorizes a request, `start` checks the VFs, `delete`
//! releases them. For a container without a request, only the netdevs that its spec moves are
//! checked.

mod vfio;

use std::collections::HashMap;

use libcontainer::oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Spec};
use vf::NetDevice;

use crate::config::Config;
use crate::error::Error;
use crate::log::Log;

/// The network namespace that a container's spec asks for.
pub(crate) enum Netns<'a> {
    /// The namespace of the host: the spec names no network namespace.
    Host,
    /// A namespace that the runtime creates.
    New,
    /// An existing namespace that the engine prepared.
    Joined(&'a std::path::Path),
}

impl<'a> Netns<'a> {
    pub(crate) fn of(spec: &'a Spec) -> Self {
        let namespaces: Option<&[LinuxNamespace]> =
            spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref());
        let network = namespaces
            .unwrap_or_default()
            .iter()
            .find(|namespace| namespace.typ() == LinuxNamespaceType::Network);
        match network.map(|namespace| namespace.path().as_deref()) {
            None => Self::Host,
            Some(None) => Self::New,
            Some(Some(path)) => Self::Joined(path),
        }
    }
}

/// Returns the VF request in a container's annotations, or `None` if it requests no VF.
pub(crate) fn parse_request(
    annotations: Option<&HashMap<String, String>>,
) -> Result<Option<vf::Request>, Error> {
    let pairs = annotations.into_iter().flatten();
    Ok(vf::Request::from_annotations(pairs.map(|(key, value)| (key.as_str(), value.as_str())))?)
}

/// Returns an entry of `linux.netDevices`: the runtime moves the netdev `host_name` of the host into
/// the container. `name`: its name there; empty for an unchanged one.
pub(crate) fn net_device(host_name: &str, name: Option<&str>) -> NetDevice {
    let name = name.filter(|name| !name.is_empty()).unwrap_or(host_name);
    NetDevice { host_name: host_name.to_owned(), name: name.to_owned() }
}

/// The netdevs of the host that the runtime moves into the container.
pub(crate) fn net_devices(spec: &Spec) -> Vec<NetDevice> {
    let devices = spec.linux().as_ref().and_then(|linux| linux.net_devices().as_ref());
    let all = devices.into_iter().flatten();
    let mut found: Vec<NetDevice> =
        all.map(|(host_name, device)| net_device(host_name, device.name().as_deref())).collect();
    // The spec has them in a map without an order, and the first one is refused.
    found.sort_by(|one, other| one.host_name.cmp(&other.host_name));
    found
}

/// Refuses netdevs that runvf manages, before the runtime moves them into container `id`.
pub(crate) fn refuse_managed_netdevs(id: &str, devices: &[NetDevice]) -> Result<(), Error> {
    Ok(vf::refuse_managed_netdevs(&vf::Host::default(), id, None, devices)?)
}

/// Authorizes the VF request of container `id` before anything on the host changes. Returns `None`
/// if the container requests no VF.
pub(crate) fn authorize_request(
    id: &str,
    annotations: Option<&HashMap<String, String>>,
    netns: &Netns<'_>,
    devices: &[NetDevice],
    config: &Config,
) -> Result<Option<vf::Grant>, Error> {
    refuse_managed_netdevs(id, devices)?;
    let Some(mut request) = parse_request(annotations)? else {
        return if config.require_annotation { Err(Error::NoAnnotation) } else { Ok(None) };
    };
    let host = vf::Host::default();
    let pairs = annotations.into_iter().flatten();
    let role = vf::pod_role(pairs.map(|(key, value)| (key.as_str(), value.as_str())), config.cri);
    request.pod = role.map_err(|error| vf::refuse(&host, &request, id, error))?;
    let is_host_netns = match *netns {
        Netns::Host => true,
        Netns::Joined(path) => vf::is_host_netns(path)?,
        Netns::New => false,
    };
    if is_host_netns {
        return Err(vf::refuse(&host, &request, id, vf::LifecycleError::HostNetwork.into()).into());
    }
    Ok(Some(vf::authorize(&host, request, id)?))
}

/// Claims the VFs that the container drives by vfio-pci, and adds them to its spec. They are released
/// when the result is dropped, except those that [`vf::Grant::attach`] has attached.
pub(crate) fn claim_vfio<'a>(
    grant: Option<&'a vf::Grant>,
    id: &str,
    spec: &mut Spec,
) -> Result<Option<vf::VfioClaims<'a>>, Error> {
    let claimed = grant.map(|grant| grant.claim_vfio(id)).transpose()?;
    vfio::add(spec, claimed.as_ref().map_or(&[], |claimed| claimed.vfs()));
    Ok(claimed)
}

/// Checks that the VFs of a request are attached to the container with the init process `pid`.
pub(crate) fn check_vfs(request: &vf::Request, id: &str, pid: i32) -> Result<(), Error> {
    let container = vf::Container { id: id.to_owned(), pid };
    Ok(vf::check_attached(&vf::Host::default(), request, &container)?)
}

/// Releases the VFs of a container. A failure is only logged, because an engine must be able to
/// remove the container. A VF that could not be scrubbed stays claimed or quarantined until
/// `runvfctl gc`.
pub(crate) fn release_vfs(id: &str, log: &Log) {
    match vf::release(&vf::Host::default(), id) {
        Ok(released) => {
            for complaint in released.iter().filter_map(vf::Released::complaint) {
                log.warn(&complaint);
            }
        }
        Err(error) => {
            log.warn(&format!("cannot release the VFs of container {id}: {}", error.line()))
        }
    }
}
