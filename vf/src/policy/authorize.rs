//! Who may have which VLAN: the configuration's answer to a request. Pure, and asked before anything is touched.
//!
//! The annotations say what is wanted; whose a VLAN is says the configuration alone. `io.runvf.tenant` gives nobody anything: it
//! is what the VLAN's owner is compared with, so that a slip of the fingers in the VLAN does not show one tenant's traffic to another.
//!
//! A refusal goes to whoever typed the command. It names the tenant that was named there, and what that one may have; never
//! another tenant, nor whether a VLAN that is not theirs is anybody's.

use std::path::Path;

use crate::error::Error;
use crate::policy::config::{Config, Pool, Tenant, list, names, only};
use crate::policy::error::PolicyError;
use crate::policy::request::{Interface, Request};

/// What the configuration makes of a request.
#[derive(Debug)]
pub(crate) struct Decision {
    /// `None`: the configuration has no tenants.
    pub(crate) tenant: Option<TenantGrant>,
    /// Each with the pool that its VF comes from.
    pub(crate) interfaces: Vec<(Interface, Pool)>,
}

/// A tenant, and how to speak of it to the one who asks.
#[derive(Debug, Clone)]
pub(crate) struct TenantGrant {
    pub(crate) tenant: Tenant,
    pub(crate) who: String,
}

/// # Errors
/// [`PolicyError::UnknownTenant`], [`PolicyError::VlanNotAllowed`], [`PolicyError::VlanUnassigned`], [`PolicyError::TwoTenants`],
/// [`PolicyError::ProtoNotAllowed`], [`PolicyError::PoolNotAllowed`]; [`PolicyError::Config`] when there is no such pool, or several and none is named. `path` is the configuration's.
pub(crate) fn decide(config: &Config, request: &Request, path: &Path) -> Result<Decision, Error> {
    let tenant = match config.tenants.as_slice() {
        [] => None,
        tenants => Some(tenant_of(tenants, request)?),
    };
    let with_pool = |interface: &Interface| {
        let asked = interface.pool.as_deref();
        let pool = match &tenant {
            None => config.pool(asked, path)?,
            Some(grant) => grant.pool(&config.pools, asked, path)?,
        };
        Ok((interface.clone(), pool.clone()))
    };
    let interfaces = request.interfaces.iter().map(with_pool).collect::<Result<_, Error>>()?;
    Ok(Decision { tenant, interfaces })
}

/// The one tenant whose all these VLANs are.
fn tenant_of(tenants: &[Tenant], request: &Request) -> Result<TenantGrant, Error> {
    let first = request.interfaces.first().map_or(0, |interface| interface.vlan);
    let (tenant, who) = match &request.tenant {
        Some(name) => {
            let named = tenants.iter().find(|tenant| tenant.name == *name);
            let unknown =
                || Error::Policy(PolicyError::UnknownTenant { tenant: name.clone(), vlan: first });
            (named.ok_or_else(unknown)?, format!("tenant `{name}`"))
        }
        None => {
            let owner = tenants.iter().find(|tenant| tenant.owns(first));
            let nobodys = Error::Policy(PolicyError::VlanUnassigned { vlan: first });
            (owner.ok_or(nobodys)?, format!("the tenant of VLAN {first}"))
        }
    };
    match request.interfaces.iter().find(|interface| !tenant.owns(interface.vlan)) {
        None => match request.interfaces.iter().find(|other| other.proto != tenant.proto) {
            None => Ok(TenantGrant { tenant: tenant.clone(), who }),
            Some(Interface { vlan, proto, .. }) => {
                Err(Error::Policy(PolicyError::ProtoNotAllowed {
                    who,
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
                allowed: list(&tenant.vlans),
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
        asked: Option<&str>,
        path: &Path,
    ) -> Result<&'a Pool, Error> {
        let theirs: Vec<&Pool> =
            pools.iter().filter(|pool| self.tenant.may_use(&pool.name)).collect();
        let Some(asked) = asked else { return only(&theirs, path) };
        theirs.iter().find(|pool| pool.name == asked).copied().ok_or_else(|| {
            Error::Policy(PolicyError::PoolNotAllowed {
                who: self.who.clone(),
                pool: asked.to_owned(),
                allowed: names(&theirs),
            })
        })
    }
}

#[cfg(test)]
mod tests;
