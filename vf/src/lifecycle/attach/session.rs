//! The state of one running attach.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::host::{Container, NetnsContainer};
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, NetnsId, NetnsRecord, cookie};
use crate::kernel::netns_life::Effort;
use crate::kernel::process::ProcessId;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::{Claim, Owner};
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
    /// The container's id.
    pub(super) id: &'a str,
    /// The engine's network that the VF is for.
    pub(super) network: Option<&'a str>,
    pub(super) sysfs: Sysfs,
    pub(super) netlink: Netlink,
    pub(super) claims: Claims,
    pub(super) netns: Netns,
    /// `None`: the network namespace will be the owner of the claims.
    pub(super) init: Option<ProcessId>,
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
        Self::new(grant, &container.id, Some(init), netns)
    }

    /// Opens the network namespace of a container without a known process.
    ///
    /// # Errors
    /// [`KernelError::File`](crate::kernel::error::KernelError::File) when there is none;
    /// [`LifecycleError::HostNetwork`].
    pub(super) fn begin_in_netns(
        grant: &'a Grant,
        container: &'a NetnsContainer,
    ) -> Result<Self, Error> {
        let netns = Netns::open(&container.netns)?;
        let session = Self::new(grant, &container.id, None, netns)?;
        Ok(Self { network: container.network.as_deref(), ..session })
    }

    /// For a container that does not exist yet: its runtime, which is the calling process, stands for
    /// it.
    ///
    /// # Errors
    /// [`LifecycleError::ContainerGone`].
    pub(super) fn of_runtime(grant: &'a Grant, id: &'a str) -> Result<Self, Error> {
        let session = Self::open(grant, id, None, Netns::own()?)?;
        Ok(Self { init: Some(session.worker), ..session })
    }

    fn new(
        grant: &'a Grant,
        id: &'a str,
        init: Option<ProcessId>,
        netns: Netns,
    ) -> Result<Self, Error> {
        if netns.id == NetnsId::own()? {
            return Err(Error::Lifecycle(LifecycleError::HostNetwork));
        }
        Self::open(grant, id, init, netns)
    }

    fn open(
        grant: &'a Grant,
        id: &'a str,
        init: Option<ProcessId>,
        netns: Netns,
    ) -> Result<Self, Error> {
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        let container = id.to_owned();
        let no_worker = Error::Lifecycle(LifecycleError::ContainerGone { container, pid });
        let worker = ProcessId::own().ok_or(no_worker)?;
        Ok(Self {
            grant,
            id,
            network: None,
            sysfs: Sysfs(grant.host.sysfs.clone()),
            netlink: Netlink::open()?,
            claims: Claims::open(&grant.host.run)?,
            netns,
            init,
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
        let is_attached =
            |interface: &Interface| claims.iter().any(|claim| self.has_by(claim, interface));
        self.grant.interfaces.iter().filter(|(interface, _)| !is_attached(interface)).collect()
    }

    /// Whether the container has the requested interface by this claim. Two networks that share an
    /// interface name do not share a claim, because the release of one would take the other's VF.
    pub(super) fn has_by(&self, claim: &Claim, interface: &Interface) -> bool {
        claim.is_attached_as(interface)
            && self.owns(claim)
            && (self.network.is_none() || self.network == claim.network.as_deref())
    }

    /// Whether the claim belongs to this container. Its network may have got the VF before there
    /// was an init process, so a claim of the network namespace counts as well.
    fn owns(&self, claim: &Claim) -> bool {
        claim.container == self.id
            && match claim.owner() {
                Owner::Init(init) => self.init == Some(init),
                Owner::Netns(netns) => {
                    netns.id == self.netns.id && self.netns.record().is_ok_and(|own| own == netns)
                }
            }
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
        let is_abandoned = |claim: &Claim| claim.is_abandoned(Effort::Quick);
        let mut abandoned: Vec<Claim> = claims.into_iter().filter(is_abandoned).collect();
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

/// These tests need root.
#[cfg(test)]
mod in_a_netns {
    use super::*;
    use crate::host::Host;
    use crate::kernel::netns_life::in_a_netns::process_in_new_netns;
    use crate::ledger::claim::tests::netns_claim;
    use crate::lifecycle::grant::authorize;
    use crate::policy::request::Request;

    #[test]
    fn two_networks_with_one_interface_name_do_not_share_a_claim() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::with_root(folder.path());
        std::fs::create_dir_all(host.config.parent().unwrap()).unwrap();
        std::fs::write(&host.config, "pool = [{ name = \"p\", pfs = [\"pf0\"] }]").unwrap();
        let request = Request::from_annotations([("io.runvf.vlan", "100")]).unwrap().unwrap();
        let grant = authorize(&host, request, "c").unwrap();
        let (mut process, netns) = process_in_new_netns();
        let mut claim = netns_claim("0000:01:10.0", netns);
        (claim.network, claim.want.vlan) = (Some("acme".to_owned()), 100);
        let missing = |network: Option<&str>| {
            let (id, network) = ("c".to_owned(), network.map(str::to_owned));
            let netns = format!("/proc/{}/ns/net", process.id()).into();
            let container = NetnsContainer { id, netns, network };
            let session = AttachSession::begin_in_netns(&grant, &container).unwrap();
            session.missing_interfaces(std::slice::from_ref(&claim)).len()
        };
        assert_eq!([missing(Some("acme")), missing(None), missing(Some("bravo"))], [0, 0, 1]);
        process.kill().unwrap();
        process.wait().unwrap();
    }
}
