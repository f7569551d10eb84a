//! VFs that a program in the container drives itself, by vfio-pci.
//!
//! The runtime creates a container's device nodes, so it must know them before there is a container.
//! So these VFs are claimed and bound before that, and [`Grant::attach`] completes their claims. Until
//! then, the runtime's process counts as the owner: if it is killed, the claims are abandoned.

use std::time::Instant;

use super::session::AttachSession;
use crate::error::Error;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns_life::Effort;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::time::now;
use crate::ledger::audit;
use crate::ledger::audit::{Entry, Event};
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::ledger::lock::SHORT_LOCK_TIMEOUT;
use crate::ledger::tenancy::{check_netns_tenancy, check_quota};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::grant::Grant;
use crate::lifecycle::release::release_claim;
use crate::nic::error::NicError;
use crate::nic::vf_config::verify_settings;
use crate::nic::vfio::{self, VfioVf};
use crate::policy::request::Interface;

/// The VFs of a container that does not exist yet. They are released when this is dropped, except
/// those that [`Grant::attach`] has attached.
#[derive(Debug)]
pub struct VfioClaims<'a> {
    grant: &'a Grant,
    container: String,
    nonce: String,
    vfs: Vec<VfioVf>,
}

impl VfioClaims<'_> {
    /// The VFs, in the order of their interfaces' names.
    pub fn vfs(&self) -> &[VfioVf] {
        &self.vfs
    }
}

impl Drop for VfioClaims<'_> {
    fn drop(&mut self) {
        // No interface of the grant asks for vfio-pci.
        if self.nonce.is_empty() {
            return;
        }
        let host = &self.grant.host;
        let Ok(claims) = Claims::open(&host.run) else { return };
        let deadline = Instant::now() + SHORT_LOCK_TIMEOUT;
        for claim in claims.of_container(&self.container).unwrap_or_default() {
            if claim.nonce == self.nonce && claim.state != State::Attached {
                // A VF that cannot be released stays claimed: as quarantined, or by a dead worker.
                let left = deadline.saturating_duration_since(Instant::now());
                let _ = release_claim(host, &claim, left, Event::Released);
            }
        }
    }
}

impl Grant {
    /// Claims a VF for each interface of the grant that asks for vfio-pci, configures it on its PF
    /// and binds it. The container with this id does not exist yet.
    ///
    /// # Errors
    /// As [`Grant::attach`], and [`NicError::NoVfio`], [`NicError::NoIommu`],
    /// [`NicError::SharedGroup`], [`NicError::VfioNotBound`]. The claimed VFs have been released.
    pub fn claim_vfio(&self, container: &str) -> Result<VfioClaims<'_>, Error> {
        self.try_claim_vfio(container)
            .inspect_err(|error| self.record_refusal(container, None, error))
    }

    fn try_claim_vfio(&self, id: &str) -> Result<VfioClaims<'_>, Error> {
        let wanted: Vec<_> =
            self.interfaces.iter().filter(|(interface, _)| interface.vfio).collect();
        let (container, vfs) = (id.to_owned(), Vec::new());
        if wanted.is_empty() {
            return Ok(VfioClaims { grant: self, container, nonce: String::new(), vfs });
        }
        let session = AttachSession::of_runtime(self, id)?;
        session.release_abandoned_in_the_way(&wanted)?;
        if let Some(tenant) = &self.tenant {
            check_quota(tenant, &session.claims.readable()?, wanted.len())?;
        }
        audit::check_writable(&self.host)?;
        let mut claimed = VfioClaims { grant: self, container, nonce: session.nonce.clone(), vfs };
        for (interface, pool) in wanted {
            let claim = session.claim_vf(interface, pool, session.netns.record()?)?;
            let nodes = vfio::nodes(&session.sysfs, &claim)?;
            claimed.vfs.push(VfioVf { vf: claim.vf, pool: pool.name.clone(), nodes });
        }
        Ok(claimed)
    }
}

impl AttachSession<'_> {
    /// Makes the container the owner of the VF that its runtime has claimed for this interface.
    ///
    /// An engine's hooks run while the runtime creates the container. They leave the claim to the
    /// runtime, which is its worker.
    ///
    /// # Errors
    /// [`LifecycleError::NeedsRuntime`] when no runtime has claimed a VF; [`NicError::VfioNotBound`]
    /// and [`NicError::ReadbackDiffers`] when the VF is not as claimed any more.
    pub(super) fn adopt(&self, interface: &Interface) -> Result<(), Error> {
        let is_meant = |claim: &Claim| {
            claim.state == State::Claiming
                && claim.interface == interface.name
                && claim.iommu_group.is_some()
                && !claim.is_abandoned(Effort::Quick)
        };
        let claims = self.claims.of_container(self.id)?;
        let mut claim = claims.into_iter().find(is_meant).ok_or_else(|| {
            Error::Lifecycle(LifecycleError::NeedsRuntime { interface: interface.name.clone() })
        })?;
        if claim.worker != self.worker {
            return Ok(());
        }
        let _lock = self.lock_own_claim(&claim)?;
        (claim.init, claim.netns) = (self.init, self.netns.record()?);
        self.claims.advance(&mut claim, State::Configured)?;
        // The claim is on disk before the others are read, so that of two tenants that attach to
        // one network namespace at least one finds the other.
        if let Some(tenant) = &self.grant.tenant {
            check_netns_tenancy(tenant, claim.netns, &self.claims.readable()?)?;
        }
        check_vfio(&self.sysfs, &claim)?;
        audit::append_entry(&self.grant.host, &Entry::attached(&claim))?;
        claim.checked = Some(now());
        self.claims.advance(&mut claim, State::Attached)
    }
}

/// Checks that a VF is bound to vfio-pci and in the IOMMU group of its claim, and that its PF reports
/// the settings of the claim.
///
/// # Errors
/// [`NicError::VfioNotBound`]; [`NicError::ReadbackDiffers`].
pub(super) fn check_vfio(sysfs: &Sysfs, claim: &Claim) -> Result<(), Error> {
    match vfio::problem(sysfs, claim) {
        Some(problem) => Err(Error::Nic(NicError::VfioNotBound { vf: claim.vf.clone(), problem })),
        None => verify_settings(&Netlink::open()?, sysfs, claim),
    }
}
