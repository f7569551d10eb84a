//! One attach under way.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::host::Container;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, NetnsId, NetnsRecord, cookie};
use crate::kernel::process::ProcessId;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::{Claim, Claims};
use crate::ledger::lock::{PfLock, lock_pf};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::grant::Grant;
use crate::policy::config::Pool;
use crate::policy::request::Interface;

/// One attach under way.
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
    pub(super) fn begin(grant: &'a Grant, container: &'a Container) -> Result<Self, Error> {
        let gone = || {
            Error::Lifecycle(LifecycleError::ContainerGone {
                container: container.id.clone(),
                pid: container.pid,
            })
        };
        // The process first: a namespace opened after it is known to be that process's or fails.
        let init = ProcessId::of(container.pid).ok_or_else(gone)?;
        let netns = Netns::open(Path::new(&format!("/proc/{}/ns/net", container.pid)))?;
        if !init.is_alive() {
            return Err(gone());
        }
        if netns.id == NetnsId::own()? {
            return Err(Error::Lifecycle(LifecycleError::HostNetwork));
        }
        let worker = ProcessId::own().ok_or_else(gone)?;
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

    /// The interfaces that the container does not have yet.
    pub(super) fn missing(&self, claims: &[Claim]) -> Vec<&'a (Interface, Pool)> {
        let here = |interface: &Interface| {
            claims.iter().any(|claim| {
                claim.container == self.container.id
                    && claim.holds(interface)
                    && claim.init == self.init
            })
        };
        self.grant.interfaces.iter().filter(|(interface, _)| !here(interface)).collect()
    }

    /// How the namespace is to be known again, if no name in it is taken.
    pub(super) fn look_inside(&self, missing: &[&(Interface, Pool)]) -> Result<NetnsRecord, Error> {
        let (cookie, links) = self.netns.inside(|| Ok((cookie()?, Netlink::open()?.links()?)))?;
        for (interface, _) in missing {
            let name = &interface.name;
            if links.iter().any(|link| link.name == *name || link.altnames.contains(name)) {
                return Err(Error::Lifecycle(LifecycleError::NameTaken {
                    interface: name.clone(),
                }));
            }
        }
        // A VF that is here already may be another tenant's, and only its claim says so.
        if self.grant.tenant.is_some() {
            for parent in links.iter().filter_map(|link| link.parent.as_deref()) {
                self.claims.get(parent)?;
            }
        }
        Ok(NetnsRecord { id: self.netns.id, cookie })
    }

    /// The PF's lock, with the claim unchanged under it: a release that was asked for meanwhile may have given the VF to another
    /// container, and neither that one's netdev nor its record may be touched.
    pub(super) fn still_ours(&self, claim: &Claim) -> Result<PfLock, Error> {
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

/// Unique on this host until the next boot: no process starts twice at the same tick under the same pid.
pub(crate) fn nonce(worker: ProcessId) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!("{:x}-{:x}-{nanos:x}", worker.pid, worker.start_time)
}
