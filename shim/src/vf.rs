//! The VFs around a container's life: what `create`, `start` and `delete` ask of the crate `vf`, and nothing that a
//! container without a request would run.

use std::collections::HashMap;

use libcontainer::oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Spec};

use crate::config::Config;
use crate::error::Error;
use crate::log::Log;

/// A container's own network namespace, as its spec has it.
pub(crate) enum Netns<'a> {
    Host,
    New,
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

pub(crate) fn parse_request(
    annotations: Option<&HashMap<String, String>>,
) -> Result<Option<vf::Request>, Error> {
    let pairs = annotations.into_iter().flatten();
    Ok(vf::Request::from_annotations(pairs.map(|(key, value)| (key.as_str(), value.as_str())))?)
}

/// What the spec of container `id` asks for, checked as far as it can be before anything is touched.
pub(crate) fn authorize_request(
    id: &str,
    annotations: Option<&HashMap<String, String>>,
    netns: &Netns<'_>,
    config: &Config,
) -> Result<Option<vf::Grant>, Error> {
    let Some(request) = parse_request(annotations)? else {
        return if config.require_annotation { Err(Error::NoAnnotation) } else { Ok(None) };
    };
    let host = vf::Host::default();
    let hosts = match *netns {
        Netns::Host => true,
        Netns::Joined(path) => vf::is_host_netns(path)?,
        Netns::New => false,
    };
    if hosts {
        return Err(vf::refuse(&host, &request, id, vf::LifecycleError::HostNetwork.into()).into());
    }
    Ok(Some(vf::authorize(&host, request, id)?))
}

pub(crate) fn check_vfs(request: &vf::Request, id: &str, pid: i32) -> Result<(), Error> {
    let container = vf::Container { id: id.to_owned(), pid };
    Ok(vf::check_attached(&vf::Host::default(), request, &container)?)
}

/// Takes the VFs of a container back. Never fails: an engine must be able to remove the container, and what could not be
/// cleaned stays claimed or quarantined until `runvfctl gc`.
pub(crate) fn release_vfs(id: &str, log: &Log) {
    match vf::release(&vf::Host::default(), id) {
        Ok(released) => {
            for one in released {
                if let Some(complaint) = one.complaint() {
                    log.warn(&complaint);
                }
            }
        }
        Err(error) => log.warn(&format!("the VFs of {id} are not released: {}", error.line())),
    }
}
