//! A request → VFs up inside a container.
//!
//! The order, and what it protects from, is in [`Grant::attach`], `claiming` and [`Attach::hand_over`]. Whatever
//! fails, [`Undo`] gives back what the claims on disk say was taken.

mod claiming;
mod inside;
mod session;

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

pub(crate) use claiming::{before, configure, wanted};
pub(crate) use inside::set_up;
pub(crate) use session::nonce;

use self::session::AttachSession;

use crate::error::Error;
use crate::fault;
use crate::host::{Container, Host};
use crate::kernel::error::KernelError;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::process::ProcessId;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::audit;
use crate::ledger::audit::{Entry, Event};
use crate::ledger::claim::{Claim, Claims, State};
use crate::ledger::lock::SHORT_LOCK_TIMEOUT;
use crate::ledger::tenancy::{check_netns_tenancy, check_quota};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::grant::Grant;
use crate::lifecycle::reconcile::reconcile_claims;
use crate::lifecycle::release::release_claim;
use crate::nic::vf_config::readback;
use crate::policy::config::Pool;
use crate::policy::request::{Interface, Request};

impl Grant {
    /// Gives the container its VFs. On return each is up, promiscuous and on its VLAN; on failure there is none.
    ///
    /// Idempotent: what this very container has already is left as it is. With Podman a container may get here twice, by its
    /// runtime and by the hooks that match the same annotations.
    ///
    /// # Errors
    /// Any but the configuration's, [`LedgerError::OverQuota`] and [`LedgerError::ForeignNetns`]. What was done has been undone; a VF that could not
    /// be cleaned is quarantined. It is on record.
    pub fn attach(&self, container: &Container) -> Result<(), Error> {
        self.try_attach(container).inspect_err(|error| {
            let interfaces = self.interfaces.iter().map(|(interface, _)| interface);
            let pid = Some(container.pid);
            audit::refused(&self.host, self.tenant_name(), interfaces, &container.id, pid, error);
        })
    }

    fn try_attach(&self, container: &Container) -> Result<(), Error> {
        let attach = AttachSession::begin(self, container)?;
        let claims = attach.claims.readable()?;
        let missing = attach.missing(&claims);
        // Claims of the dead hold VFs that this container could have, and their interfaces names in a namespace that outlived
        // them (a pod's).
        reconcile_claims(&self.host, claims, Duration::ZERO);
        if missing.is_empty() {
            return Ok(());
        }
        let netns = match attach.look_inside(&missing) {
            // It may be a dead predecessor's, whose PF was busy a moment ago.
            Err(Error::Lifecycle(LifecycleError::NameTaken { .. })) => {
                let mut claims = attach.claims.readable()?;
                claims.retain(|claim| claim.netns.id == attach.netns.id);
                reconcile_claims(&self.host, claims, SHORT_LOCK_TIMEOUT);
                attach.look_inside(&missing)?
            }
            looked => looked?,
        };
        // Both are asked again for each VF, the one with the tenant's lock held, the other with a claim on disk: this is for a container
        // that would get only a part of what it asks for, or have VFs made on a PF for nothing.
        if let Some(tenant) = &self.tenant {
            let claims = attach.claims.readable()?;
            check_quota(tenant, &claims, missing.len())?;
            check_netns_tenancy(tenant, netns, &claims)?;
        }
        audit::expect_record(&self.host)?;
        let undo = Undo { attach: &attach, done: false };
        for (interface, pool) in missing {
            let (claim, netdev) = attach.claim(interface, pool, netns)?;
            attach.hand_over(claim, netdev, interface, pool)?;
        }
        fault::point("attached").map_err(Error::errno("attach", &self.host.run))?;
        undo.commit();
        Ok(())
    }
}

/// Releases this attach's claims unless it is committed. Knows them from the disk alone, so that nothing which was claimed
/// can be missing from it.
struct Undo<'a> {
    attach: &'a AttachSession<'a>,
    done: bool,
}

impl Undo<'_> {
    fn commit(mut self) {
        self.done = true;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let attach = self.attach;
        if self.done {
            return;
        }
        for claim in attach.claims.of_container(&attach.container.id).unwrap_or_default() {
            if claim.nonce == attach.nonce {
                // What cannot be released stays on record as quarantined, or as the claim of a dead worker.
                let _ =
                    release_claim(&attach.grant.host, &claim, SHORT_LOCK_TIMEOUT, Event::Released);
            }
        }
    }
}

impl AttachSession<'_> {
    /// The container's part: move, set up inside, look at both ends, and only then call it attached.
    fn hand_over(
        &self,
        mut claim: Claim,
        (name, ifindex): (String, u32),
        interface: &Interface,
        pool: &Pool,
    ) -> Result<(), Error> {
        // Of two tenants that come to one namespace at a time, each has its claim on disk before it looks for the other's.
        if let Some(tenant) = &self.grant.tenant {
            check_netns_tenancy(tenant, claim.netns, &self.claims.readable()?)?;
        }
        let lock = self.still_ours(&claim)?;
        self.netlink.move_to(ifindex, self.netns.as_fd(), &interface.name).map_err(|source| {
            Error::Kernel(KernelError::Link {
                action: "move into the container",
                object: format!("{name} (VF {})", claim.vf),
                source,
            })
        })?;
        drop(lock);
        self.netns.inside(|| set_up(&claim, interface, pool))?;
        // The PF's side once more: on some drivers what happens to the netdev resets the VF.
        readback(&self.netlink, &self.sysfs, &claim)?;
        let _lock = self.still_ours(&claim)?;
        // Before the claim says so: if we are killed in between there is a line too many, and its end will follow.
        audit::record(&self.grant.host, &Entry::attached(&claim))?;
        self.claims.advance(&mut claim, State::Attached)
    }
}

/// Whether the container has every VF that it asks for, each attached. To be asked right before its process may run: a
/// creation that was killed in the middle, or a VF that vanished since, must not become a sensor that sees nothing.
///
/// An id is unique only among the containers of one engine, so that the container is known by its process as well.
///
/// # Errors
/// [`LifecycleError::NotAttached`], naming the first interface that is missing.
pub fn check_attached(host: &Host, request: &Request, container: &Container) -> Result<(), Error> {
    let claims = Claims::open(&host.run)?.of_container(&container.id)?;
    let init = ProcessId::of(container.pid);
    for interface in &request.interfaces {
        let missing = || {
            Error::Lifecycle(LifecycleError::NotAttached {
                container: container.id.clone(),
                interface: interface.name.clone(),
            })
        };
        let claim = claims
            .iter()
            .find(|claim| claim.holds(interface) && Some(claim.init) == init)
            .ok_or_else(missing)?;
        let netns = Netns::open(Path::new(&format!("/proc/{}/ns/net", claim.init.pid)))?;
        let link = netns.inside(|| Netlink::open()?.link_of(&claim.vf))?;
        if !link.is_some_and(|link| link.flags.up && link.flags.promisc) {
            return Err(missing());
        }
        readback(&Netlink::open()?, &Sysfs(host.sysfs.clone()), claim)?;
    }
    Ok(())
}
