//! A request that the configuration allows.
//!
//! The decision itself is pure (`policy::authorize`); this file adds the audit entry of a refusal.

use crate::error::Error;
use crate::host::Host;
use crate::ledger::audit;
use crate::policy::authorize::{TenantGrant, decide, may_send};
use crate::policy::config::{Config, Pool};
use crate::policy::pod::PodRole;
use crate::policy::request::{Interface, Request};

/// A request that the configuration allows. Only a grant can be attached.
#[derive(Debug)]
pub struct Grant {
    pub(super) host: Host,
    /// The tenant's name in the request.
    requested_tenant: Option<String>,
    /// The tenant in the configuration.
    pub(super) tenant: Option<TenantGrant>,
    pub(super) interfaces: Vec<(Interface, Pool)>,
    /// What the container is to its pod.
    pub(super) pod: Option<PodRole>,
}

/// Compares a container's request with the configuration. Changes nothing on the host, but writes an
/// audit entry for a refusal.
///
/// # Errors
/// - [`PolicyError::NoConfig`], [`PolicyError::Config`]: there is no valid configuration, or it has
///   no such pool.
/// - [`PolicyError::NamespaceNotAllowed`], [`PolicyError::UnknownTenant`],
///   [`PolicyError::VlanNotAllowed`], [`PolicyError::VlanUnassigned`], [`PolicyError::TwoTenants`],
///   [`PolicyError::ProtoNotAllowed`], [`PolicyError::PoolNotAllowed`],
///   [`PolicyError::TransmitNotAllowed`], [`PolicyError::VfioSends`]: the configuration does not
///   allow the request.
/// - [`PolicyError::BadPod`]: a pod asks for vfio-pci.
///
/// [`PolicyError::NoConfig`]: crate::policy::error::PolicyError::NoConfig
/// [`PolicyError::Config`]: crate::policy::error::PolicyError::Config
/// [`PolicyError::NamespaceNotAllowed`]: crate::policy::error::PolicyError::NamespaceNotAllowed
/// [`PolicyError::UnknownTenant`]: crate::policy::error::PolicyError::UnknownTenant
/// [`PolicyError::VlanNotAllowed`]: crate::policy::error::PolicyError::VlanNotAllowed
/// [`PolicyError::VlanUnassigned`]: crate::policy::error::PolicyError::VlanUnassigned
/// [`PolicyError::TwoTenants`]: crate::policy::error::PolicyError::TwoTenants
/// [`PolicyError::ProtoNotAllowed`]: crate::policy::error::PolicyError::ProtoNotAllowed
/// [`PolicyError::TransmitNotAllowed`]: crate::policy::error::PolicyError::TransmitNotAllowed
/// [`PolicyError::VfioSends`]: crate::policy::error::PolicyError::VfioSends
/// [`PolicyError::PoolNotAllowed`]: crate::policy::error::PolicyError::PoolNotAllowed
pub fn authorize(host: &Host, request: Request, container: &str) -> Result<Grant, Error> {
    let decided = Config::load(host).and_then(|config| decide(&config, &request, &host.config));
    let decision = decided.map_err(|error| audit::refuse(host, &request, container, error))?;
    let (tenant, interfaces) = (decision.tenant, decision.interfaces);
    let (requested_tenant, pod) = (request.tenant, request.pod);
    Ok(Grant { host: host.clone(), requested_tenant, tenant, interfaces, pod })
}

impl Grant {
    /// What the container is to its pod. `None`: it belongs to no pod of Kubernetes.
    pub fn pod(&self) -> Option<&PodRole> {
        self.pod.as_ref()
    }

    /// Whether the container must not send by one of its interfaces. The front door then also
    /// denies AF_XDP sockets where it can, because nftables does not see their frames.
    pub fn is_receive_only(&self) -> bool {
        self.interfaces.iter().any(|(interface, pool)| !may_send(interface, pool))
    }

    /// The tenant's name for the audit log: the tenant of the VLAN if there is one, otherwise the
    /// tenant that the request names.
    pub(super) fn tenant_name(&self) -> Option<&str> {
        let owner = self.tenant.as_ref().map(|grant| &grant.tenant.name);
        owner.or(self.requested_tenant.as_ref()).map(String::as_str)
    }
}
