//! A tenant's bounds, checked against the claims: its quota, and the network namespaces it may enter.

use crate::error::Error;
use crate::kernel::netns::NetnsRecord;
use crate::kernel::process::boot_id;
use crate::ledger::claim::{Claim, State};
use crate::ledger::error::LedgerError;
use crate::policy::authorize::TenantGrant;
use crate::policy::config::Tenant;

/// Whether the tenant may have `asked` VFs beside those that it has by the `claims`.
///
/// Every state of a claim counts. One that is being made or released is a VF that nobody else can have; so is one in quarantine,
/// which is out of use by what happened in one of this tenant's containers, and shall not be made up for at the others' cost. A
/// claim that cannot be read is nobody's.
///
/// # Errors
/// [`LedgerError::OverQuota`].
pub(crate) fn check_quota(
    grant: &TenantGrant,
    claims: &[Claim],
    asked: usize,
) -> Result<(), Error> {
    let Some(max) = grant.tenant.max else { return Ok(()) };
    let held: Vec<&Claim> = claims.iter().filter(|claim| holds(&grant.tenant, claim)).collect();
    if held.len() + asked <= max {
        return Ok(());
    }
    let in_quarantine = |claim: &&&Claim| matches!(claim.state, State::Quarantined { .. });
    Err(Error::Ledger(LedgerError::OverQuota {
        who: grant.who.clone(),
        asked,
        held: held.len(),
        quarantined: held.iter().filter(in_quarantine).count(),
        max,
    }))
}

/// Whether the tenant may have a VF in a network namespace: whoever is in it sees what all VFs in it see, so it has one tenant,
/// as a container has. Here, too, every state of a claim counts.
///
/// # Errors
/// [`LedgerError::ForeignNetns`].
pub(crate) fn check_netns_tenancy(
    grant: &TenantGrant,
    netns: NetnsRecord,
    claims: &[Claim],
) -> Result<(), Error> {
    let boot = boot_id()?;
    let there = |claim: &&Claim| claim.netns.cookie == netns.cookie && claim.boot_id == boot;
    match claims.iter().filter(there).all(|claim| holds(&grant.tenant, claim)) {
        true => Ok(()),
        false => Err(Error::Ledger(LedgerError::ForeignNetns { who: grant.who.clone() })),
    }
}

/// By the name on record, or by its VLAN: the claim may be older than the configuration, and then name nobody.
fn holds(tenant: &Tenant, claim: &Claim) -> bool {
    claim.tenant.as_ref() == Some(&tenant.name)
        || u16::try_from(claim.want.vlan).is_ok_and(|vlan| tenant.owns(vlan))
}

#[cfg(test)]
mod tests;
