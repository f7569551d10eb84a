//! A request that the configuration allows.
//!
//! The decision itself is pure (`policy::authorize`); this file adds the audit entry of a refusal.

use crate::error::Error;
use crate::host::Host;
use crate::ledger::audit;
use crate::policy::authorize::{TenantGrant, decide};
use crate::policy::config::{Config, Pool};
use crate::policy::request::{Interface, Request};

/// A request that the configuration allows. Only such a one can be attached.
#[derive(Debug)]
pub struct Grant {
    pub(super) host: Host,
    /// As it was named.
    named: Option<String>,
    /// As the configuration has it.
    pub(super) tenant: Option<TenantGrant>,
    pub(super) interfaces: Vec<(Interface, Pool)>,
}

/// Holds the request of a container against the configuration. Touches nothing; a refusal is put on record.
///
/// # Errors
/// [`PolicyError::NoConfig`], [`PolicyError::Config`]: there is no usable configuration, or no such pool in it. [`PolicyError::UnknownTenant`],
/// [`PolicyError::VlanNotAllowed`], [`PolicyError::VlanUnassigned`], [`PolicyError::TwoTenants`], [`PolicyError::ProtoNotAllowed`], [`PolicyError::PoolNotAllowed`]: it does not
/// allow this.
pub fn authorize(host: &Host, request: Request, container: &str) -> Result<Grant, Error> {
    let decided = Config::load(host).and_then(|config| decide(&config, &request, &host.config));
    let decision = decided.map_err(|error| audit::refuse(host, &request, container, error))?;
    let (tenant, interfaces) = (decision.tenant, decision.interfaces);
    Ok(Grant { host: host.clone(), named: request.tenant, tenant, interfaces })
}

impl Grant {
    /// The tenant's name for the audit log: the VLAN's tenant, or the name in the request.
    pub(super) fn tenant_name(&self) -> Option<&str> {
        let owner = self.tenant.as_ref().map(|grant| &grant.tenant.name);
        owner.or(self.named.as_ref()).map(String::as_str)
    }
}
