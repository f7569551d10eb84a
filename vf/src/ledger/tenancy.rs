//! Checks of a tenant's limits against the claims: its quota of VFs, and the network namespaces
//! that its VFs may enter.

use crate::error::Error;
use crate::kernel::netns::NetnsRecord;
use crate::kernel::process::boot_id;
use crate::ledger::claim::{Claim, State};
use crate::ledger::error::LedgerError;
use crate::policy::authorize::TenantGrant;
use crate::policy::config::Tenant;

/// Checks that the tenant's quota allows `asked` more VFs than the `claims` give it.
///
/// A claim counts in every state, because no other tenant can use its VF. A quarantined VF counts
/// too: a container of this tenant left it dirty, so the loss must not reduce what other tenants
/// get. An unreadable claim counts for no tenant.
///
/// # Errors
/// [`LedgerError::OverQuota`].
pub(crate) fn check_quota(
    grant: &TenantGrant,
    claims: &[Claim],
    asked: usize,
) -> Result<(), Error> {
    let Some(max) = grant.tenant.max else { return Ok(()) };
    let held: Vec<&Claim> =
        claims.iter().filter(|claim| is_claim_of(&grant.tenant, claim)).collect();
    if held.len() + asked <= max {
        return Ok(());
    }
    let is_quarantined = |claim: &&&Claim| matches!(claim.state, State::Quarantined { .. });
    Err(Error::Ledger(LedgerError::OverQuota {
        who: grant.label.clone(),
        asked,
        held: held.len(),
        quarantined: held.iter().filter(is_quarantined).count(),
        max,
    }))
}

/// Checks that the network namespace holds no VF of another tenant. Each process in a network
/// namespace can read the traffic of all its VFs, so a namespace has one tenant, as a container
/// has. A claim counts in every state.
///
/// # Errors
/// [`LedgerError::ForeignNetns`].
pub(crate) fn check_netns_tenancy(
    grant: &TenantGrant,
    netns: NetnsRecord,
    claims: &[Claim],
) -> Result<(), Error> {
    let boot = boot_id()?;
    let in_netns = |claim: &&Claim| claim.netns.cookie == netns.cookie && claim.boot_id == boot;
    match claims.iter().filter(in_netns).all(|claim| is_claim_of(&grant.tenant, claim)) {
        true => Ok(()),
        false => Err(Error::Ledger(LedgerError::ForeignNetns { who: grant.label.clone() })),
    }
}

/// Whether the claim belongs to the tenant: by the tenant's name, or by the VLAN, because a claim
/// that is older than the configuration may name no tenant.
fn is_claim_of(tenant: &Tenant, claim: &Claim) -> bool {
    claim.tenant.as_ref() == Some(&tenant.name)
        || u16::try_from(claim.want.vlan).is_ok_and(|vlan| tenant.owns(vlan))
}

#[cfg(test)]
mod tests;
