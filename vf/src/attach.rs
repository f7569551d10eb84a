//! A request → VFs up inside a container.
//!
//! The order, and what it protects from, is in [`Grant::attach`], `claiming` and [`Attach::hand_over`]. Whatever
//! fails, [`Undo`] gives back what the claims on disk say was taken.

mod claiming;
mod inside;

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use claiming::{before, configure, wait_for_netdev, wanted};
pub(crate) use inside::set_up;

use crate::audit::{self, Entry, Event};
use crate::claim::{Claim, Claims, State};
use crate::config::Pool;
use crate::configure::readback;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, NetnsId, NetnsRecord, cookie};
use crate::kernel::sysfs::Sysfs;
use crate::lock::{IMPATIENCE, PfLock, lock_pf};
use crate::policy::{Party, decide};
use crate::process::ProcessId;
use crate::reconcile::reconcile_seen;
use crate::release::release_claim;
use crate::{Config, Container, Error, Host, Interface, Request, fault};

/// A request that the configuration allows. Only such a one can be attached.
#[derive(Debug)]
pub struct Grant {
    host: Host,
    /// As it was named.
    named: Option<String>,
    /// As the configuration has it.
    party: Option<Party>,
    interfaces: Vec<(Interface, Pool)>,
}

/// Holds the request of a container against the configuration. Touches nothing; a refusal is put on record.
///
/// # Errors
/// [`Error::NoConfig`], [`Error::Config`]: there is no usable configuration, or no such pool in it. [`Error::UnknownTenant`],
/// [`Error::NotTheirVlan`], [`Error::NobodysVlan`], [`Error::TwoTenants`], [`Error::NotTheirProto`], [`Error::NotTheirPool`]: it does not
/// allow this.
pub fn authorise(host: &Host, request: Request, container: &str) -> Result<Grant, Error> {
    let decided = Config::load(host).and_then(|config| decide(&config, &request, &host.config));
    let decision = decided.map_err(|error| audit::refuse(host, &request, container, error))?;
    let (party, interfaces) = (decision.tenant, decision.interfaces);
    Ok(Grant { host: host.clone(), named: request.tenant, party, interfaces })
}

impl Grant {
    /// Gives the container its VFs. On return each is up, promiscuous and on its VLAN; on failure there is none.
    ///
    /// Idempotent: what this very container has already is left as it is. With Podman a container may get here twice, by its
    /// runtime and by the hooks that match the same annotations.
    ///
    /// # Errors
    /// Any but the configuration's, [`Error::OverQuota`] and [`Error::OthersNetns`]. What was done has been undone; a VF that could not
    /// be cleaned is quarantined. It is on record.
    pub fn attach(&self, container: &Container) -> Result<(), Error> {
        self.try_attach(container).inspect_err(|error| {
            let interfaces = self.interfaces.iter().map(|(interface, _)| interface);
            let pid = Some(container.pid);
            audit::refused(&self.host, self.tenant(), interfaces, &container.id, pid, error);
        })
    }

    fn tenant(&self) -> Option<&str> {
        let owner = self.party.as_ref().map(|party| &party.tenant.name);
        owner.or(self.named.as_ref()).map(String::as_str)
    }

    fn try_attach(&self, container: &Container) -> Result<(), Error> {
        let attach = Attach::begin(self, container)?;
        let claims = attach.claims.readable()?;
        let missing = attach.missing(&claims);
        // Claims of the dead hold VFs that this container could have, and their interfaces names in a namespace that outlived
        // them (a pod's).
        reconcile_seen(&self.host, claims, Duration::ZERO);
        if missing.is_empty() {
            return Ok(());
        }
        let netns = match attach.look_inside(&missing) {
            // It may be a dead predecessor's, whose PF was busy a moment ago.
            Err(Error::NameTaken { .. }) => {
                let mut claims = attach.claims.readable()?;
                claims.retain(|claim| claim.netns.id == attach.netns.id);
                reconcile_seen(&self.host, claims, IMPATIENCE);
                attach.look_inside(&missing)?
            }
            looked => looked?,
        };
        // Both are asked again for each VF, the one with the tenant's lock held, the other with a claim on disk: this is for a container
        // that would get only a part of what it asks for, or have VFs made on a PF for nothing.
        if let Some(party) = &self.party {
            let claims = attach.claims.readable()?;
            party.admit(&claims, missing.len())?;
            party.admit_to(netns, &claims)?;
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
    attach: &'a Attach<'a>,
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
                let _ = release_claim(&attach.grant.host, &claim, IMPATIENCE, Event::Released);
            }
        }
    }
}

/// One attach under way.
struct Attach<'a> {
    grant: &'a Grant,
    container: &'a Container,
    sysfs: Sysfs,
    netlink: Netlink,
    claims: Claims,
    netns: Netns,
    init: ProcessId,
    worker: ProcessId,
    nonce: String,
}

impl<'a> Attach<'a> {
    fn begin(grant: &'a Grant, container: &'a Container) -> Result<Self, Error> {
        let gone = || Error::ContainerGone { container: container.id.clone(), pid: container.pid };
        // The process first: a namespace opened after it is known to be that process's or fails.
        let init = ProcessId::of(container.pid).ok_or_else(gone)?;
        let netns = Netns::open(Path::new(&format!("/proc/{}/ns/net", container.pid)))?;
        if !init.is_alive() {
            return Err(gone());
        }
        if netns.id == NetnsId::own()? {
            return Err(Error::HostNetwork);
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
    fn missing(&self, claims: &[Claim]) -> Vec<&'a (Interface, Pool)> {
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
    fn look_inside(&self, missing: &[&(Interface, Pool)]) -> Result<NetnsRecord, Error> {
        let (cookie, links) = self.netns.inside(|| Ok((cookie()?, Netlink::open()?.links()?)))?;
        for (interface, _) in missing {
            let name = &interface.name;
            if links.iter().any(|link| link.name == *name || link.altnames.contains(name)) {
                return Err(Error::NameTaken { interface: name.clone() });
            }
        }
        // A VF that is here already may be another tenant's, and only its claim says so.
        if self.grant.party.is_some() {
            for parent in links.iter().filter_map(|link| link.parent.as_deref()) {
                self.claims.get(parent)?;
            }
        }
        Ok(NetnsRecord { id: self.netns.id, cookie })
    }

    /// The container's part: move, set up inside, look at both ends, and only then call it attached.
    fn hand_over(
        &self,
        mut claim: Claim,
        (name, ifindex): (String, u32),
        interface: &Interface,
        pool: &Pool,
    ) -> Result<(), Error> {
        // Of two tenants that come to one namespace at a time, each has its claim on disk before it looks for the other's.
        if let Some(party) = &self.grant.party {
            party.admit_to(claim.netns, &self.claims.readable()?)?;
        }
        let lock = self.still_ours(&claim)?;
        self.netlink.move_to(ifindex, self.netns.as_fd(), &interface.name).map_err(|source| {
            Error::Link {
                action: "move into the container",
                object: format!("{name} (VF {})", claim.vf),
                source,
            }
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

    /// The PF's lock, with the claim unchanged under it: a release that was asked for meanwhile may have given the VF to another
    /// container, and neither that one's netdev nor its record may be touched.
    fn still_ours(&self, claim: &Claim) -> Result<PfLock, Error> {
        let lock = lock_pf(&self.grant.host.run, &claim.pf)?;
        match self.claims.get(&claim.vf)? {
            Some(now) if now == *claim => Ok(lock),
            _ => Err(Error::ClaimLost { vf: claim.vf.clone(), container: claim.container.clone() }),
        }
    }
}

/// Unique on this host until the next boot: no process starts twice at the same tick under the same pid.
pub(crate) fn nonce(worker: ProcessId) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!("{:x}-{:x}-{nanos:x}", worker.pid, worker.start_time)
}

/// Whether the container has every VF that it asks for, each attached. To be asked right before its process may run: a
/// creation that was killed in the middle, or a VF that vanished since, must not become a sensor that sees nothing.
///
/// An id is unique only among the containers of one engine, so that the container is known by its process as well.
///
/// # Errors
/// [`Error::NotAttached`], naming the first interface that is missing.
pub fn check_attached(host: &Host, request: &Request, container: &Container) -> Result<(), Error> {
    let claims = Claims::open(&host.run)?.of_container(&container.id)?;
    let init = ProcessId::of(container.pid);
    for interface in &request.interfaces {
        let missing = || Error::NotAttached {
            container: container.id.clone(),
            interface: interface.name.clone(),
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
