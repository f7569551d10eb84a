//! Decides whether the configuration allows a request, before runvf touches a PF or a VF.
//!
//! Only the configuration assigns VLANs to tenants. The annotation `io.runvf.tenant` grants
//! nothing: it is compared with the tenant that the VLAN belongs to, so that a mistyped VLAN does
//! not show one tenant's traffic to another tenant.
//!
//! A refusal is shown to the person who started the container. It names the tenant of the request
//! and what that tenant may use. It never names another tenant, and never reveals whether a VLAN
//! belongs to another tenant.

use std::path::Path;

use crate::error::Error;
use crate::policy::config::{Config, Pool, Tenant, join_ranges, only_pool, pool_names};
use crate::policy::error::PolicyError;
use crate::policy::request::{Interface, Request};
use crate::policy::transmit::Transmit;

/// The result for a request that the configuration allows.
#[derive(Debug)]
pub(crate) struct Decision {
    /// `None`: the configuration has no tenants.
    pub(crate) tenant: Option<TenantGrant>,
    /// Each interface with the pool that its VF comes from.
    pub(crate) interfaces: Vec<(Interface, Pool)>,
}

/// The tenant of a request.
#[derive(Debug, Clone)]
pub(crate) struct TenantGrant {
    pub(crate) tenant: Tenant,
    /// The tenant in messages: by its name only if the request has that name.
    pub(crate) label: String,
}

/// Finds the tenant of a request and the pool of each interface. `path` is the path of the
/// configuration, for messages.
///
/// # Errors
/// [`PolicyError::NamespaceNotAllowed`], [`PolicyError::UnknownTenant`],
/// [`PolicyError::VlanNotAllowed`], [`PolicyError::VlanUnassigned`], [`PolicyError::TwoTenants`],
/// [`PolicyError::ProtoNotAllowed`], [`PolicyError::PoolNotAllowed`],
/// [`PolicyError::TransmitNotAllowed`], [`PolicyError::VfioSends`]; [`PolicyError::BadPod`] when a
/// pod asks for vfio-pci; [`PolicyError::Config`] when the pool does not exist, or when there are
/// several pools and the request names none.
pub(crate) fn decide(config: &Config, request: &Request, path: &Path) -> Result<Decision, Error> {
    check_pod(request)?;
    let tenant = match config.tenants.as_slice() {
        [] => None,
        tenants => Some(find_tenant(tenants, request)?),
    };
    let with_pool = |interface: &Interface| {
        let requested = interface.pool.as_deref();
        let pool = match &tenant {
            None => config.pool(requested, path)?,
            Some(grant) => grant.pool(&config.pools, requested, path)?,
        };
        if interface.transmit == Some(Transmit::Allow) && pool.transmit() == Transmit::Drop {
            let (interface, pool) = (interface.name.clone(), pool.name.clone());
            return Err(Error::Policy(PolicyError::TransmitNotAllowed { interface, pool }));
        }
        if interface.vfio && !may_send(interface, pool) {
            let (interface, pool) = (interface.name.clone(), pool.name.clone());
            return Err(Error::Policy(PolicyError::VfioSends { interface, pool }));
        }
        Ok((interface.clone(), pool.clone()))
    };
    let interfaces = request.interfaces.iter().map(with_pool).collect::<Result<_, Error>>()?;
    Ok(Decision { tenant, interfaces })
}

/// Refuses vfio-pci for a pod. Its sandbox would get the device nodes, and its containers none.
fn check_pod(request: &Request) -> Result<(), Error> {
    match &request.pod {
        Some(role) if request.interfaces.iter().any(|interface| interface.vfio) => {
            let (namespace, name) = (&role.pod().namespace, &role.pod().name);
            Err(Error::Policy(PolicyError::BadPod {
                problem: format!("pod {namespace}/{name} asks for vfio-pci, which no pod can have"),
                hint: "remove `io.runvf.driver`".to_owned(),
            }))
        }
        _ => Ok(()),
    }
}

/// Whether a container may send by this interface.
pub(crate) fn may_send(interface: &Interface, pool: &Pool) -> bool {
    interface.transmit.unwrap_or(pool.transmit()) == Transmit::Allow
}

/// Finds the tenant that all VLANs of the request belong to.
///
/// For a pod, only the tenants exist that name its namespace, so that no message tells a pod about
/// another tenant.
fn find_tenant(tenants: &[Tenant], request: &Request) -> Result<TenantGrant, Error> {
    let first = request.interfaces.first().map_or(0, |interface| interface.vlan);
    let namespace = request.pod.as_ref().map(|role| &role.pod().namespace);
    let admits =
        |tenant: &&Tenant| namespace.is_none_or(|namespace| tenant.namespaces.contains(namespace));
    let mut tenants = tenants.iter().filter(admits);
    let or_namespace = |error| match namespace {
        Some(namespace) => {
            let namespace = namespace.clone();
            Error::Policy(PolicyError::NamespaceNotAllowed { namespace, vlan: first })
        }
        None => Error::Policy(error),
    };
    let (tenant, label) = match &request.tenant {
        Some(name) => {
            let named = tenants.find(|tenant| tenant.name == *name);
            let unknown = PolicyError::UnknownTenant { tenant: name.clone(), vlan: first };
            (named.ok_or_else(|| or_namespace(unknown))?, format!("tenant `{name}`"))
        }
        None => {
            let tenant = tenants.find(|tenant| tenant.owns(first));
            let unassigned = PolicyError::VlanUnassigned { vlan: first };
            let tenant = tenant.ok_or_else(|| or_namespace(unassigned))?;
            (tenant, format!("the tenant of VLAN {first}"))
        }
    };
    match request.interfaces.iter().find(|interface| !tenant.owns(interface.vlan)) {
        None => match request.interfaces.iter().find(|interface| interface.proto != tenant.proto) {
            None => Ok(TenantGrant { tenant: tenant.clone(), label }),
            Some(Interface { vlan, proto, .. }) => {
                Err(Error::Policy(PolicyError::ProtoNotAllowed {
                    tenant: label,
                    vlan: *vlan,
                    proto: *proto,
                    allowed: tenant.proto,
                }))
            }
        },
        Some(Interface { vlan, .. }) if request.tenant.is_some() => {
            Err(Error::Policy(PolicyError::VlanNotAllowed {
                tenant: tenant.name.clone(),
                vlan: *vlan,
                allowed: join_ranges(&tenant.vlans),
            }))
        }
        Some(Interface { vlan, .. }) => {
            Err(Error::Policy(PolicyError::TwoTenants { first, second: *vlan }))
        }
    }
}

impl TenantGrant {
    fn pool<'a>(
        &self,
        pools: &'a [Pool],
        requested: Option<&str>,
        path: &Path,
    ) -> Result<&'a Pool, Error> {
        let allowed: Vec<&Pool> =
            pools.iter().filter(|pool| self.tenant.may_use(&pool.name)).collect();
        let Some(requested) = requested else { return only_pool(&allowed, path) };
        allowed.iter().find(|pool| pool.name == requested).copied().ok_or_else(|| {
            Error::Policy(PolicyError::PoolNotAllowed {
                tenant: self.label.clone(),
                pool: requested.to_owned(),
                allowed: pool_names(&allowed),
            })
        })
    }
}

#[cfg(test)]
mod tests;
