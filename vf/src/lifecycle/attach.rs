//! Attach: from a granted request to VFs that are up in a container.
//!
//! [`Grant::attach`] has the order of the steps, [`claim_vf`] the PF's part, and
//! `AttachSession::attach_vf` the container's part. After a failure, [`Undo`] releases what the
//! claims on disk say that this attach has claimed.

mod claim_vf;
mod configure;
mod mac_conflict;
mod netdev_setup;
mod session;
mod vfio;

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

pub(crate) use configure::{bind_driver, configure, take_snapshot, wanted_settings};
pub(crate) use netdev_setup::set_up_netdev;
pub(crate) use session::nonce;
pub use vfio::VfioClaims;

use self::session::AttachSession;
use self::vfio::check_vfio;

use crate::error::Error;
use crate::fault;
use crate::host::{Container, Host, NetnsContainer};
use crate::kernel::error::KernelError;
use crate::kernel::interrupts::cpus_of_process;
use crate::kernel::mac::MacAddress;
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::netns::Netns;
use crate::kernel::process::ProcessId;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::time::now;
use crate::ledger::audit;
use crate::ledger::audit::{Entry, Event};
use crate::ledger::claim::{Claim, Owner, State};
use crate::ledger::claims::Claims;
use crate::ledger::lock::SHORT_LOCK_TIMEOUT;
use crate::ledger::tenancy::{check_netns_tenancy, check_quota};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::grant::Grant;
use crate::lifecycle::pod_member;
use crate::lifecycle::reconcile::reconcile_claims;
use crate::lifecycle::release::release_claim;
use crate::nic::create_vfs::wait_for_netdev;
use crate::nic::driver::driver;
use crate::nic::vf_config::verify_settings;
use crate::policy::config::{Interrupts, Pool};
use crate::policy::pod::PodRole;
use crate::policy::request::{Interface, Request};

impl Grant {
    /// Attaches a VF for each interface of the grant. When it returns, each VF is up, promiscuous
    /// and on its VLAN. If it fails, the container has no VF of this attach.
    ///
    /// Idempotent: a VF that the container already has is not changed. With Podman a container may
    /// be attached twice, by its runtime and by the hooks that match the same annotations.
    ///
    /// The VFs of a Kubernetes pod belong to its sandbox. For another container of the pod, this
    /// only checks that they are in its network namespace.
    ///
    /// # Errors
    /// Any error except a configuration error, also [`LedgerError::OverQuota`] and
    /// [`LedgerError::ForeignNetns`]. The claimed VFs have been released; a VF that could not be
    /// cleaned is quarantined. The audit log has an entry of the refusal.
    ///
    /// [`LedgerError::OverQuota`]: crate::ledger::error::LedgerError::OverQuota
    /// [`LedgerError::ForeignNetns`]: crate::ledger::error::LedgerError::ForeignNetns
    pub fn attach(&self, container: &Container) -> Result<(), Error> {
        let attached = match &self.pod {
            Some(PodRole::Member(pod)) => {
                let interfaces = self.interfaces.iter().map(|(interface, _)| interface);
                pod_member::check(&self.host, interfaces, pod, container)
            }
            _ => AttachSession::begin(self, container)
                .and_then(|session| self.try_attach(&session, |_| Ok(()))),
        };
        attached.inspect_err(|error| {
            self.record_refusal(&container.id, Some(container.pid), error);
        })
    }

    /// As [`Grant::attach`], for a container that has a network namespace and no process yet. The
    /// namespace becomes the owner of the claims. Returns the VFs of the grant.
    ///
    /// # Errors
    /// As [`Grant::attach`].
    pub fn attach_to_netns(&self, container: &NetnsContainer) -> Result<Vec<AttachedVf>, Error> {
        AttachSession::begin_in_netns(self, container)
            .and_then(|session| self.try_attach(&session, AttachSession::attached_vfs))
            .inspect_err(|error| self.record_refusal(&container.id, None, error))
    }

    pub(super) fn record_refusal(&self, container: &str, pid: Option<i32>, error: &Error) {
        let interfaces = self.interfaces.iter().map(|(interface, _)| interface);
        let (tenant, pod) = (self.tenant_name(), self.pod.as_ref().map(PodRole::pod));
        audit::record_refusal(&self.host, tenant, interfaces, container, pid, pod, error);
    }

    /// Attaches what the container does not have yet. `answer` makes the answer for the caller; if it
    /// fails, the attach is undone, because the caller then believes that the container has no VF.
    fn try_attach<'a, T>(
        &self,
        session: &AttachSession<'a>,
        answer: impl FnOnce(&AttachSession<'a>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let claims = session.claims.readable()?;
        let missing = session.missing_interfaces(&claims);
        if missing.is_empty() {
            return answer(session);
        }
        session.release_abandoned_in_the_way(&missing)?;
        let (by_vfio, missing): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|(interface, _)| interface.vfio);
        let netns = match session.inspect_netns(&missing) {
            // The interface may belong to an abandoned claim that was not released above because
            // its PF was locked. So wait for the lock now.
            Err(Error::Lifecycle(LifecycleError::NameTaken { .. })) => {
                let mut claims = session.claims.readable()?;
                claims.retain(|claim| claim.netns.id == session.netns.id);
                reconcile_claims(&self.host, claims, SHORT_LOCK_TIMEOUT, SHORT_LOCK_TIMEOUT);
                session.inspect_netns(&missing)?
            }
            inspected => inspected?,
        };
        // Both checks are repeated for each VF: the quota under the tenant's lock, the tenancy with
        // the claim on disk. Here they refuse a container that would get only some of its VFs, and
        // avoid that VFs are created on a PF for nothing.
        if let Some(tenant) = &self.tenant {
            let claims = session.claims.readable()?;
            check_quota(tenant, &claims, missing.len())?;
            check_netns_tenancy(tenant, netns, &claims)?;
        }
        audit::check_writable(&self.host)?;
        let undo = Undo { session, is_committed: false };
        for (interface, _) in by_vfio {
            session.adopt(interface)?;
        }
        for (interface, pool) in missing {
            let began = Instant::now();
            let claim = session.claim_vf(interface, pool, netns)?;
            session.attach_vf(claim, interface, pool, began)?;
        }
        fault::point("attached").map_err(Error::errno("attach", &self.host.run))?;
        let answer = answer(session)?;
        undo.commit();
        Ok(answer)
    }
}

/// Releases the claims of this attach when it is dropped, unless it was committed. It reads the
/// claims from disk, so it misses none.
struct Undo<'a> {
    session: &'a AttachSession<'a>,
    is_committed: bool,
}

impl Undo<'_> {
    fn commit(mut self) {
        self.is_committed = true;
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let session = self.session;
        if self.is_committed {
            return;
        }
        let host = &session.grant.host;
        let deadline = Instant::now() + SHORT_LOCK_TIMEOUT;
        for claim in session.claims.of_container(session.id).unwrap_or_default() {
            // The runtime's own process has claimed a VF of vfio-pci for this container only.
            let is_adopted = claim.iommu_group.is_some() && claim.worker == session.worker;
            if claim.nonce == session.nonce || is_adopted {
                // A VF that cannot be released stays claimed: as quarantined, or by a dead worker.
                let left = deadline.saturating_duration_since(Instant::now());
                let _ = release_claim(host, &claim, left, Event::Released);
            }
        }
    }
}

impl AttachSession<'_> {
    /// Waits for the netdev of the claimed VF, moves it into the container, sets it up, verifies it
    /// on the PF's side and in the container, writes the audit entry, and records the claim as
    /// attached. `began`: when the attach of this VF began.
    fn attach_vf(
        &self,
        mut claim: Claim,
        interface: &Interface,
        pool: &Pool,
        began: Instant,
    ) -> Result<(), Error> {
        // Two tenants may attach to one network namespace at the same time. Each of them has its
        // claim on disk before it looks for the other's, so at least one finds the other.
        if let Some(tenant) = &self.grant.tenant {
            check_netns_tenancy(tenant, claim.netns, &self.claims.readable()?)?;
        }
        // Without the PF's lock, because iavf creates the netdev some tenths of a second after the
        // bind.
        let Link { name, ifindex, .. } = wait_for_netdev(&self.sysfs, &self.netlink, &claim.vf)?;
        let lock = self.lock_own_claim(&claim)?;
        self.claims.advance(&mut claim, State::Configured)?;
        self.netlink.move_to(ifindex, self.netns.as_fd(), &interface.name).map_err(|source| {
            Error::Kernel(KernelError::Link {
                action: "move into the container",
                object: format!("{name} (VF {})", claim.vf),
                source,
            })
        })?;
        drop(lock);
        let pf_driver = driver(self.sysfs.driver(&claim.pf).as_deref());
        let set_up = || set_up_netdev(&claim, interface, pool, pf_driver);
        let carrier = self.netns.inside(set_up)?;
        self.move_interrupts(&claim, pool);
        // The PF's side is verified again, because on some drivers a change to the netdev resets
        // the VF.
        verify_settings(&self.netlink, &self.sysfs, &claim)?;
        let _lock = self.lock_own_claim(&claim)?;
        // The audit entry comes before the claim's new state. If this process is killed in between,
        // the log has one entry too many, and the release adds the entry of its end.
        audit::append_entry(&self.grant.host, &Entry::attached(&claim).that_took(began))?;
        (claim.carrier, claim.checked) = (Some(carrier), Some(now()));
        self.claims.advance(&mut claim, State::Attached)
    }

    /// Lets the CPUs of the container's cpuset handle the VF's interrupts. The driver has requested
    /// them when the interface came up. A cpuset of all CPUs asks for nothing.
    fn move_interrupts(&self, claim: &Claim, pool: &Pool) {
        let cpus = match pool.capture().interrupts {
            // A network namespace without a process has no cpuset.
            Interrupts::Cpuset => self.init.and_then(|init| cpus_of_process(init.pid)),
            Interrupts::Keep => None,
        };
        let online = self.sysfs.online_cpus().unwrap_or_default();
        if let Some(cpus) = cpus.filter(|cpus| !cpus.is_superset(&online)) {
            self.sysfs.set_interrupt_cpus(&claim.vf, &cpus);
        }
    }
}

/// A VF that is up in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedVf {
    /// PCI address.
    pub vf: String,
    /// The interface's name in the container.
    pub interface: String,
    /// The interface's address.
    pub mac: MacAddress,
}

impl AttachSession<'_> {
    /// The VFs of the grant, which has been attached.
    fn attached_vfs(&self) -> Result<Vec<AttachedVf>, Error> {
        let claims = self.claims.of_container(self.id)?;
        let interfaces = self.grant.interfaces.iter();
        let attached = interfaces.map(|(interface, _)| {
            let is_meant = |claim: &&Claim| self.has_by(claim, interface);
            let claim = claims.iter().find(is_meant);
            let link =
                claim.map(|claim| self.netns.inside(|| Netlink::open()?.link_by_pci(&claim.vf)));
            match (claim, link.transpose()?.flatten()) {
                (Some(Claim { vf, interface, .. }), Some(Link { mac, .. })) => {
                    Ok(AttachedVf { vf: vf.clone(), interface: interface.clone(), mac })
                }
                // Another process has released it, or moved it away.
                _ => Err(Error::Lifecycle(LifecycleError::NotAttached {
                    container: self.id.to_owned(),
                    interface: interface.name.clone(),
                })),
            }
        });
        attached.collect()
    }
}

/// Checks that the container has an attached VF for every interface of the request. The front door
/// calls it right before the init process may run the user's program, because the create may have
/// been killed halfway, or a VF may have vanished since, and a sensor must not start without its
/// VF.
///
/// A container id is unique only within one engine, so the owner is compared as well. A VF that the
/// container got by its engine's network belongs to the network namespace.
///
/// # Errors
/// [`LifecycleError::NotAttached`], for the first interface without an attached VF;
/// [`LifecycleError::NotInPod`], for the first interface that the pod lacks.
pub fn check_attached(host: &Host, request: &Request, container: &Container) -> Result<(), Error> {
    if let Some(PodRole::Member(pod)) = &request.pod {
        return pod_member::check(host, &request.interfaces, pod, container);
    }
    let claims = Claims::open(&host.run)?.of_container(&container.id)?;
    let init = ProcessId::of(container.pid);
    for interface in &request.interfaces {
        let not_attached = || {
            Error::Lifecycle(LifecycleError::NotAttached {
                container: container.id.clone(),
                interface: interface.name.clone(),
            })
        };
        let netns = || Netns::open(Path::new(&format!("/proc/{}/ns/net", container.pid)));
        let is_owner = |claim: &Claim| match claim.owner() {
            Owner::Init(owner) => Some(owner) == init,
            Owner::Netns(owner) => {
                netns().and_then(|netns| netns.record()).is_ok_and(|now| now == owner)
            }
        };
        let claim = claims
            .iter()
            .find(|claim| claim.is_attached_as(interface) && is_owner(claim))
            .ok_or_else(not_attached)?;
        if claim.iommu_group.is_some() {
            check_vfio(&Sysfs(host.sysfs.clone()), claim)?;
            continue;
        }
        if !pod_member::is_ready(host, claim, &netns()?)? {
            return Err(not_attached());
        }
    }
    Ok(())
}
