//! The state of one running attach.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::host::Container;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, NetnsId, NetnsRecord, cookie};
use crate::kernel::process::ProcessId;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::Claim;
use crate::ledger::claims::Claims;
use crate::ledger::lock::{PfLock, lock_pf};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::grant::Grant;
use crate::lifecycle::reconcile::{ATTACH_BUDGET, reconcile_claims};
use crate::nic::pf::pci_named;
use crate::policy::config::Pool;
use crate::policy::request::Interface;

/// One running attach: the grant, the container, and the handles for host and container.
pub(super) struct AttachSession<'a> {
    pub(super) grant: &'a Grant,
    pub(super) container: &'a Container,
    pub(super) sysfs: Sysfs,
    pub(super) netlink: Netlink,
    pub(super) claims: Claims,
    pub(super) netns: Netns,
    pub(super) init: ProcessId,
    pub(super) worker: ProcessId,
    pub(super) nonce: String,
}

impl<'a> AttachSession<'a> {
    /// Identifies the container's init process and opens its network namespace.
    ///
    /// # Errors
    /// [`LifecycleError::ContainerGone`]; [`LifecycleError::HostNetwork`].
    pub(super) fn begin(grant: &'a Grant, container: &'a Container) -> Result<Self, Error> {
        let container_gone = || {
            Error::Lifecycle(LifecycleError::ContainerGone {
                container: container.id.clone(),
                pid: container.pid,
            })
        };
        // The process is identified before its network namespace is opened, and checked after that.
        // If it is still alive then, the namespace is its own.
        let init = ProcessId::of(container.pid).ok_or_else(container_gone)?;
        let netns = Netns::open(Path::new(&format!("/proc/{}/ns/net", container.pid)))?;
        if !init.is_alive() {
            return Err(container_gone());
        }
        if netns.id == NetnsId::own()? {
            return Err(Error::Lifecycle(LifecycleError::HostNetwork));
        }
        let worker = ProcessId::own().ok_or_else(container_gone)?;
        Ok(Self {
            grant,
            container,
            sysfs: Sysfs(grant.host.sysfs.clone()),
            netlink: Netlink::open()?,
            claims: Claims::open(&grant.host.run)?,
            netns,
            init,
            worker,
            nonce: nonce(worker),
        })
    }

    /// For a container that does not exist yet: its runtime, which is the calling process, stands for
    /// it.
    ///
    /// # Errors
    /// [`LifecycleError::ContainerGone`].
    pub(super) fn of_runtime(grant: &'a Grant, runtime: &'a Container) -> Result<Self, Error> {
        let gone = || {
            let (container, pid) = (runtime.id.clone(), runtime.pid);
            Error::Lifecycle(LifecycleError::ContainerGone { container, pid })
        };
        let worker = ProcessId::own().ok_or_else(gone)?;
        Ok(Self {
            grant,
            container: runtime,
            sysfs: Sysfs(grant.host.sysfs.clone()),
            netlink: Netlink::open()?,
            claims: Claims::open(&grant.host.run)?,
            netns: Netns::own()?,
            init: worker,
            worker,
            nonce: nonce(worker),
        })
    }

    /// Releases the VFs of abandoned claims that may keep this request from its VFs, for
    /// [`ATTACH_BUDGET`].
    pub(super) fn release_abandoned_in_the_way(
        &self,
        missing: &[&(Interface, Pool)],
    ) -> Result<(), Error> {
        let abandoned = self.abandoned_in_the_way(self.claims.readable()?, missing);
        reconcile_claims(&self.grant.host, abandoned, Duration::ZERO, ATTACH_BUDGET);
        Ok(())
    }

    /// The requested interfaces that the container does not have yet.
    pub(super) fn missing_interfaces(&self, claims: &[Claim]) -> Vec<&'a (Interface, Pool)> {
        let is_attached = |interface: &Interface| {
            claims.iter().any(|claim| {
                claim.container == self.container.id
                    && claim.is_attached_as(interface)
                    && claim.init == self.init
            })
        };
        self.grant.interfaces.iter().filter(|(interface, _)| !is_attached(interface)).collect()
    }

    /// The abandoned claims that may keep this request from its VFs, the most urgent first:
    ///
    /// - in the container's network namespace (a pod's), where they hold interface names,
    /// - of a tenant with a quota, which counts them,
    /// - on the PFs that the request may use.
    ///
    /// Other claims are left to `gc`, because a PF that hangs must not delay this container.
    fn abandoned_in_the_way(
        &self,
        claims: Vec<Claim>,
        missing: &[&(Interface, Pool)],
    ) -> Vec<Claim> {
        let mut abandoned: Vec<Claim> = claims.into_iter().filter(Claim::is_abandoned).collect();
        if abandoned.is_empty() {
            return abandoned;
        }
        let names = missing.iter().flat_map(|(_, pool)| &pool.pfs);
        let pfs: Vec<String> =
            names.filter_map(|name| pci_named(&self.sysfs, name).ok().flatten()).collect();
        let with_quota = self.grant.tenant.as_ref().filter(|grant| grant.tenant.max.is_some());
        let tenant = with_quota.map(|grant| &grant.tenant.name);
        let order = |claim: &Claim| {
            let reasons = [
                claim.netns.id == self.netns.id,
                tenant.is_some() && claim.tenant.as_ref() == tenant,
                pfs.contains(&claim.pf),
            ];
            reasons.iter().position(|applies| *applies)
        };
        abandoned.retain(|claim| order(claim).is_some());
        abandoned.sort_by_key(order);
        abandoned
    }

    /// Checks that the interface names are not in use in the container's network namespace. Returns
    /// the record that identifies this namespace later.
    ///
    /// # Errors
    /// [`LifecycleError::NameTaken`]; with tenants, also when the claim of a VF that is already in
    /// the namespace cannot be read.
    pub(super) fn inspect_netns(
        &self,
        missing: &[&(Interface, Pool)],
    ) -> Result<NetnsRecord, Error> {
        let (cookie, links) = self.netns.inside(|| Ok((cookie()?, Netlink::open()?.links()?)))?;
        for (interface, _) in missing {
            let name = &interface.name;
            if links.iter().any(|link| link.name == *name || link.altnames.contains(name)) {
                return Err(Error::Lifecycle(LifecycleError::NameTaken {
                    interface: name.clone(),
                }));
            }
        }
        // A VF that is already in the namespace may belong to another tenant. Only its claim tells
        // this, so each such claim must be readable.
        if self.grant.tenant.is_some() {
            for parent in links.iter().filter_map(|link| link.parent.as_deref()) {
                self.claims.get(parent)?;
            }
        }
        Ok(NetnsRecord { id: self.netns.id, cookie })
    }

    /// Acquires the PF's lock and checks that the claim on disk has not changed. The VF may have
    /// been released and claimed by another container in between; then neither its netdev nor its
    /// claim may be changed.
    ///
    /// # Errors
    /// [`LifecycleError::ClaimLost`] when the claim has changed.
    pub(super) fn lock_own_claim(&self, claim: &Claim) -> Result<PfLock, Error> {
        let lock = lock_pf(&self.grant.host.run, &claim.pf)?;
        match self.claims.get(&claim.vf)? {
            Some(now) if now == *claim => Ok(lock),
            _ => Err(Error::Lifecycle(LifecycleError::ClaimLost {
                vf: claim.vf.clone(),
                container: claim.container.clone(),
            })),
        }
    }
}

/// A nonce for the claims of one attach. It is unique on this host until the next boot, because no
/// two processes have the same pid and start time.
pub(crate) fn nonce(worker: ProcessId) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!("{:x}-{:x}-{nanos:x}", worker.pid, worker.start_time)
}
