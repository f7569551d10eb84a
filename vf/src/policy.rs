//! Who may have which VLAN: the configuration's answer to a request. Pure, and asked before anything is touched.
//!
//! The annotations say what is wanted; whose a VLAN is says the configuration alone. `io.runvf.tenant` gives nobody anything: it
//! is what the VLAN's owner is compared with, so that a slip of the fingers in the VLAN does not show one tenant's traffic to another.
//!
//! A refusal goes to whoever typed the command. It names the tenant that was named there, and what that one may have; never
//! another tenant, nor whether a VLAN that is not theirs is anybody's.

use std::path::Path;

use crate::claim::{Claim, State};
use crate::config::{Config, Pool, Tenant, list, names, only};
use crate::kernel::netns::NetnsRecord;
use crate::process::boot_id;
use crate::{Error, Interface, Request};

/// What the configuration makes of a request.
#[derive(Debug)]
pub(crate) struct Decision {
    /// `None`: the configuration has no tenants.
    pub(crate) tenant: Option<Party>,
    /// Each with the pool that its VF comes from.
    pub(crate) interfaces: Vec<(Interface, Pool)>,
}

/// A tenant, and how to speak of it to the one who asks.
#[derive(Debug, Clone)]
pub(crate) struct Party {
    pub(crate) tenant: Tenant,
    who: String,
}

/// # Errors
/// [`Error::UnknownTenant`], [`Error::NotTheirVlan`], [`Error::NobodysVlan`], [`Error::TwoTenants`],
/// [`Error::NotTheirProto`], [`Error::NotTheirPool`]; [`Error::Config`] when there is no such pool, or several and none is named. `path` is the configuration's.
pub(crate) fn decide(config: &Config, request: &Request, path: &Path) -> Result<Decision, Error> {
    let tenant = match config.tenants.as_slice() {
        [] => None,
        tenants => Some(party(tenants, request)?),
    };
    let with_pool = |interface: &Interface| {
        let asked = interface.pool.as_deref();
        let pool = match &tenant {
            None => config.pool(asked, path)?,
            Some(party) => party.pool(&config.pools, asked, path)?,
        };
        Ok((interface.clone(), pool.clone()))
    };
    let interfaces = request.interfaces.iter().map(with_pool).collect::<Result<_, Error>>()?;
    Ok(Decision { tenant, interfaces })
}

/// The one tenant whose all these VLANs are.
fn party(tenants: &[Tenant], request: &Request) -> Result<Party, Error> {
    let first = request.interfaces.first().map_or(0, |interface| interface.vlan);
    let (tenant, who) = match &request.tenant {
        Some(name) => {
            let named = tenants.iter().find(|tenant| tenant.name == *name);
            let unknown = || Error::UnknownTenant { tenant: name.clone(), vlan: first };
            (named.ok_or_else(unknown)?, format!("tenant `{name}`"))
        }
        None => {
            let owner = tenants.iter().find(|tenant| tenant.owns(first));
            let nobodys = Error::NobodysVlan { vlan: first };
            (owner.ok_or(nobodys)?, format!("the tenant of VLAN {first}"))
        }
    };
    match request.interfaces.iter().find(|interface| !tenant.owns(interface.vlan)) {
        None => match request.interfaces.iter().find(|other| other.proto != tenant.proto) {
            None => Ok(Party { tenant: tenant.clone(), who }),
            Some(Interface { vlan, proto, .. }) => {
                Err(Error::NotTheirProto { who, vlan: *vlan, proto: *proto, allowed: tenant.proto })
            }
        },
        Some(Interface { vlan, .. }) if request.tenant.is_some() => Err(Error::NotTheirVlan {
            tenant: tenant.name.clone(),
            vlan: *vlan,
            allowed: list(&tenant.vlans),
        }),
        Some(Interface { vlan, .. }) => Err(Error::TwoTenants { first, second: *vlan }),
    }
}

impl Party {
    fn pool<'a>(
        &self,
        pools: &'a [Pool],
        asked: Option<&str>,
        path: &Path,
    ) -> Result<&'a Pool, Error> {
        let theirs: Vec<&Pool> =
            pools.iter().filter(|pool| self.tenant.may_use(&pool.name)).collect();
        let Some(asked) = asked else { return only(&theirs, path) };
        theirs.iter().find(|pool| pool.name == asked).copied().ok_or_else(|| Error::NotTheirPool {
            who: self.who.clone(),
            pool: asked.to_owned(),
            allowed: names(&theirs),
        })
    }

    /// Whether the tenant may have `asked` VFs beside those that it has by the `claims`.
    ///
    /// Every state of a claim counts. One that is being made or released is a VF that nobody else can have; so is one in quarantine,
    /// which is out of use by what happened in one of this tenant's containers, and shall not be made up for at the others' cost. A
    /// claim that cannot be read is nobody's.
    ///
    /// # Errors
    /// [`Error::OverQuota`].
    pub(crate) fn admit(&self, claims: &[Claim], asked: usize) -> Result<(), Error> {
        let Some(max) = self.tenant.max else { return Ok(()) };
        let held: Vec<&Claim> = claims.iter().filter(|claim| self.has(claim)).collect();
        if held.len() + asked <= max {
            return Ok(());
        }
        let in_quarantine = |claim: &&&Claim| matches!(claim.state, State::Quarantined { .. });
        Err(Error::OverQuota {
            who: self.who.clone(),
            asked,
            held: held.len(),
            quarantined: held.iter().filter(in_quarantine).count(),
            max,
        })
    }

    /// Whether the tenant may have a VF in a network namespace: whoever is in it sees what all VFs in it see, so it has one tenant,
    /// as a container has. Here, too, every state of a claim counts.
    ///
    /// # Errors
    /// [`Error::OthersNetns`].
    pub(crate) fn admit_to(&self, netns: NetnsRecord, claims: &[Claim]) -> Result<(), Error> {
        let boot = boot_id()?;
        let there = |claim: &&Claim| claim.netns.cookie == netns.cookie && claim.boot_id == boot;
        match claims.iter().filter(there).all(|claim| self.has(claim)) {
            true => Ok(()),
            false => Err(Error::OthersNetns { who: self.who.clone() }),
        }
    }

    /// By the name on record, or by its VLAN: the claim may be older than the configuration, and then name nobody.
    fn has(&self, claim: &Claim) -> bool {
        claim.tenant.as_ref() == Some(&self.tenant.name)
            || u16::try_from(claim.want.vlan).is_ok_and(|vlan| self.tenant.owns(vlan))
    }
}

#[cfg(test)]
mod tests;
