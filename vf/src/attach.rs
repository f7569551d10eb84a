//! A request → VFs up inside a container.
//!
//! The order, and what it protects from, is in [`Grant::attach`], [`Attach::claim_on`] and [`Attach::hand_over`]. Whatever
//! fails, [`Undo`] gives back what the claims on disk say was taken.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::claim::{Before, Claim, Claims, State};
use crate::config::{Carrier, Pool};
use crate::configure::{converge, readback};
use crate::inventory::{FreeVf, Pf, Taken, free_vfs};
use crate::kernel::netlink::{Flags, Netlink};
use crate::kernel::netns::{Netns, set_ipv6_sysctl};
use crate::kernel::{ethtool, sysfs::Sysfs};
use crate::lock::lock_pf;
use crate::plan::{LinkState, Settings};
use crate::process::{ProcessId, boot_id};
use crate::release::release_claim;
use crate::{Config, Container, Error, Host, Interface, Request, reconcile};

/// How long a VF's driver may take to bring up the netdev.
const NETDEV: Duration = Duration::from_secs(10);
/// How long an interface may take from up to carrier. A PF reset on i40e takes seconds.
const CARRIER: Duration = Duration::from_secs(10);
/// Between two looks at something that has no event to wait for.
const LOOK: Duration = Duration::from_millis(5);

/// A request that the configuration allows. Only such a one can be attached.
#[derive(Debug)]
pub struct Grant {
    host: Host,
    tenant: Option<String>,
    interfaces: Vec<(Interface, Pool)>,
}

/// Holds a request against the configuration. Touches nothing.
///
/// # Errors
/// [`Error::NoConfig`], [`Error::Config`]: there is no usable configuration, or no such pool in it.
pub fn authorise(host: &Host, request: Request) -> Result<Grant, Error> {
    let config = Config::load(host)?;
    let interfaces = request
        .interfaces
        .into_iter()
        .map(|interface| {
            let pool = config.pool(interface.pool.as_deref(), &host.config)?.clone();
            Ok((interface, pool))
        })
        .collect::<Result<_, Error>>()?;
    Ok(Grant { host: host.clone(), tenant: request.tenant, interfaces })
}

impl Grant {
    /// Gives the container its VFs. On return each is up, promiscuous and on its VLAN; on failure there is none.
    ///
    /// Idempotent: what this very container has already is left as it is. With Podman a container may get here twice, by its
    /// runtime and by the hooks that match the same annotations.
    ///
    /// # Errors
    /// Any but the configuration's. What was done has been undone; a VF that could not be cleaned is quarantined.
    pub fn attach(&self, container: &Container) -> Result<(), Error> {
        let attach = Attach::begin(self, container)?;
        let missing = attach.missing()?;
        attach.refuse_taken_names(&missing)?;
        // Claims of the dead hold VFs that this container could have.
        reconcile(&self.host)?;
        let undo = Undo { attach: &attach, done: false };
        for (interface, pool) in missing {
            let claim = attach.claim(interface, pool)?;
            attach.hand_over(claim, interface, pool)?;
        }
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
                let _ = release_claim(&attach.grant.host, &claim);
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
        if netns.id == Netns::own()?.id {
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
    fn missing(&self) -> Result<Vec<&'a (Interface, Pool)>, Error> {
        let claims = self.claims.of_container(&self.container.id)?;
        let here = |interface: &Interface| {
            claims.iter().any(|claim| claim.holds(interface) && claim.init == self.init)
        };
        Ok(self.grant.interfaces.iter().filter(|(interface, _)| !here(interface)).collect())
    }

    fn refuse_taken_names(&self, missing: &[&(Interface, Pool)]) -> Result<(), Error> {
        let links = self.netns.inside(|| Netlink::open()?.links())?;
        for (interface, _) in missing {
            let name = &interface.name;
            if links.iter().any(|link| link.name == *name || link.altnames.contains(name)) {
                return Err(Error::NameTaken { interface: name.clone() });
            }
        }
        Ok(())
    }

    /// Claims and configures a VF on the first of the pool's PFs that has one. A PF that cannot serve is passed over; what
    /// was wrong with it is the error if no other can.
    fn claim(&self, interface: &Interface, pool: &Pool) -> Result<Claim, Error> {
        let mut unfit = None;
        let mut full = Vec::new();
        for named in &pool.pfs {
            match self.claim_on(named, interface, pool) {
                Ok(Ok(claim)) => return Ok(claim),
                Ok(Err(taken)) => full.push(format!(
                    "{named} has {} claimed and {} in use by something else",
                    taken.claimed, taken.foreign
                )),
                Err(
                    error @ (Error::NoPf { .. } | Error::NoSriov { .. } | Error::PfDown { .. }),
                ) => {
                    unfit.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match unfit {
            Some(error) if full.is_empty() => Err(error),
            unfit => {
                full.extend(unfit.map(|error| error.to_string()));
                Err(Error::NoFreeVf { pool: pool.name.clone(), detail: full.join(", ") })
            }
        }
    }

    /// The PF's part, all under its lock: choose, write the claim down, configure, read back, wait for the netdev.
    fn claim_on(
        &self,
        named: &str,
        interface: &Interface,
        pool: &Pool,
    ) -> Result<Result<Claim, Taken>, Error> {
        let pf = Pf::find(&self.sysfs, named, pool)?;
        let _lock = lock_pf(&self.grant.host.run, &pf.pci)?;
        if !self.netlink.link(pf.ifindex)?.is_some_and(|link| link.flags.up) {
            return Err(Error::PfDown { pf: pf.name });
        }
        self.create_vfs(&pf, pool)?;
        let (free, taken) = free_vfs(&self.sysfs, &self.netlink, &self.claims, &pf)?;
        for vf in preferred(free, interface) {
            let claim = self.claim_of(&pf, &vf, interface);
            // Somebody without our lock may put a record there by hand; then the next VF is as good.
            if self.claims.create(&claim)? {
                return self.configure(&pf, &vf, claim, interface).map(Ok);
            }
        }
        Ok(Err(taken))
    }

    /// Only where there are none: a count that is not zero cannot be changed without destroying every VF of the PF.
    fn create_vfs(&self, pf: &Pf, pool: &Pool) -> Result<(), Error> {
        if !self.sysfs.virtfns(&pf.pci).is_empty() {
            return Ok(());
        }
        let wanted = pool.vfs.map_or(pf.total, |vfs| vfs.min(pf.total));
        self.sysfs.set_numvfs(&pf.pci, wanted)?;
        // The write may succeed and have made fewer or none (bnxt with its PF down, firmware in a reset).
        let made = self.sysfs.virtfns(&pf.pci);
        if made.len() != wanted {
            return Err(Error::VfsNotMade { pf: pf.name.clone(), wanted, made: made.len() });
        }
        // Drivers may still be loading. A VF without its driver would be taken for one that is kept without.
        let deadline = Instant::now() + NETDEV;
        while made.iter().any(|(_, vf)| self.sysfs.netdevs(vf).is_empty())
            && Instant::now() < deadline
        {
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn claim_of(&self, pf: &Pf, vf: &FreeVf, interface: &Interface) -> Claim {
        let have = vf.settings;
        Claim {
            vf: vf.pci.clone(),
            index: vf.index,
            pf: pf.pci.clone(),
            pf_name: pf.name.clone(),
            state: State::Claiming,
            nonce: self.nonce.clone(),
            boot_id: boot_id(),
            container: self.container.id.clone(),
            tenant: self.grant.tenant.clone(),
            interface: interface.name.clone(),
            netns: self.netns.id,
            init: self.init,
            worker: self.worker,
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            want: wanted(&have, interface),
            before: Before {
                driver: vf.driver.clone(),
                name: vf.netdev.as_ref().map(|(name, _)| name.clone()),
                mac: have.mac,
                spoof_check: have.spoof_check,
            },
        }
    }

    fn configure(
        &self,
        pf: &Pf,
        vf: &FreeVf,
        mut claim: Claim,
        interface: &Interface,
    ) -> Result<Claim, Error> {
        converge(&self.netlink, pf, &claim, &claim.want)?;
        // A driver reads the address that the PF assigns when it binds (igb: "Reload the VF driver").
        if interface.mac.is_some()
            && let Some(driver) = &vf.driver
        {
            self.sysfs.unbind(&vf.pci, driver)?;
        }
        if self.sysfs.driver(&vf.pci).is_none() {
            self.sysfs.probe(&vf.pci)?;
        }
        let (name, _) = wait_for_netdev(&self.sysfs, &vf.pci)?;
        claim.before.name.get_or_insert(name);
        claim.state = State::Configured;
        self.claims.update(&claim)?;
        Ok(claim)
    }

    /// The container's part: move, set up inside, look at both ends, and only then call it attached.
    fn hand_over(&self, mut claim: Claim, interface: &Interface, pool: &Pool) -> Result<(), Error> {
        let (name, ifindex) = wait_for_netdev(&self.sysfs, &claim.vf)?;
        self.netlink
            .move_to(ifindex, std::os::fd::AsFd::as_fd(&self.netns), &interface.name)
            .map_err(|source| Error::Link {
                action: "move into the container",
                object: format!("{name} (VF {})", claim.vf),
                source,
            })?;
        self.netns.inside(|| set_up(&claim, interface, pool))?;
        // The PF's side once more: on some drivers what happens to the netdev resets the VF.
        readback(&self.netlink, &self.sysfs, &claim)?;
        claim.state = State::Attached;
        self.claims.update(&claim)
    }
}

/// A VF that is set already needs no change, and on i40e and ice every change is a reset.
fn preferred(mut free: Vec<FreeVf>, interface: &Interface) -> Vec<FreeVf> {
    free.sort_by_key(|vf| {
        let right = vf.settings.vlan == u32::from(interface.vlan) && vf.settings.trust;
        (!right, vf.driver.is_none(), vf.index)
    });
    free
}

fn wanted(have: &Settings, interface: &Interface) -> Settings {
    let mac = interface.mac.unwrap_or_default();
    Settings {
        vlan: interface.vlan.into(),
        qos: interface.qos.into(),
        proto: interface.proto,
        trust: true,
        // A sensor has nothing to send, least of all in another's name. Without an address to compare with, mlx5 would drop
        // what the VF sends and receives nothing for it.
        spoof_check: have.spoof_check || mac.is_unicast() || have.mac.is_unicast(),
        link_state: match have.link_state {
            LinkState::Disable => LinkState::Auto,
            other => other,
        },
        mac,
    }
}

pub(crate) fn wait_for_netdev(sysfs: &Sysfs, vf: &str) -> Result<(String, u32), Error> {
    let deadline = Instant::now() + NETDEV;
    loop {
        if let Some(netdev) = sysfs.netdevs(vf).into_iter().next() {
            return Ok(netdev);
        }
        if Instant::now() >= deadline {
            return Err(Error::NoNetdev { vf: vf.to_owned(), seconds: NETDEV.as_secs() });
        }
        thread::sleep(LOOK);
    }
}

/// Runs inside the container's namespace.
fn set_up(claim: &Claim, interface: &Interface, pool: &Pool) -> Result<(), Error> {
    const SENSOR: Flags = Flags { up: true, promisc: true, allmulti: true, noarp: true };
    let name = &interface.name;
    let failed = |action| {
        move |source| Error::Link { action, object: format!("{name} (VF {})", claim.vf), source }
    };
    let not = |what| Error::NotInside { vf: claim.vf.clone(), interface: name.clone(), what };
    let netlink = Netlink::open()?;
    // By PCI address: the index may have changed on the way, and so may the name if it clashed.
    let ifindex = netlink.link_of(&claim.vf)?.ok_or_else(|| not("there"))?.ifindex;
    if let Some(mtu) = interface.mtu {
        netlink.set_mtu(ifindex, mtu).map_err(failed("set the MTU of"))?;
    }
    // Before it is up, or it would say hello to the tenant's network first.
    set_ipv6_sysctl(name, "disable_ipv6", "1")?;
    ethtool::no_receive_merging(name)?;
    netlink.set_flags(ifindex, SENSOR).map_err(failed("bring up"))?;

    let deadline = Instant::now() + CARRIER;
    loop {
        let link = netlink.link(ifindex)?.ok_or_else(|| not("there"))?;
        if link.carrier || pool.carrier == Carrier::Ignore {
            return match link {
                _ if link.flags != SENSOR => Err(not("up and promiscuous")),
                _ if link.name != *name => Err(not("known by its name")),
                _ if interface.mtu.is_some_and(|mtu| mtu != link.mtu) => Err(not("of that MTU")),
                _ if interface.mac.is_some_and(|mac| mac != link.mac) => Err(not("of that MAC")),
                _ => Ok(()),
            };
        }
        if Instant::now() >= deadline {
            let (vf, interface) = (claim.vf.clone(), name.clone());
            return Err(Error::NoCarrier { vf, interface, seconds: CARRIER.as_secs() });
        }
        thread::sleep(LOOK);
    }
}

/// Unique on this host until the next boot: no process starts twice at the same tick under the same pid.
fn nonce(worker: ProcessId) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!("{:x}-{:x}-{nanos:x}", worker.pid, worker.start_time)
}

/// Whether the container has every VF that it asks for, each attached. To be asked right before its process may run: a
/// creation that was killed in the middle, or a VF that vanished since, must not become a sensor that sees nothing.
///
/// # Errors
/// [`Error::NotAttached`], naming the first interface that is missing.
pub fn check_attached(host: &Host, request: &Request, container: &str) -> Result<(), Error> {
    let claims = Claims::open(&host.run)?.of_container(container)?;
    for interface in &request.interfaces {
        let missing = || Error::NotAttached {
            container: container.to_owned(),
            interface: interface.name.clone(),
        };
        let claim = claims
            .iter()
            .find(|claim| claim.holds(interface) && claim.init.is_alive())
            .ok_or_else(missing)?;
        let netns = Netns::open(Path::new(&format!("/proc/{}/ns/net", claim.init.pid)))?;
        let link = netns.inside(|| Netlink::open()?.link_of(&claim.vf))?;
        if !link.is_some_and(|link| link.flags.up && link.flags.promisc) {
            return Err(missing());
        }
    }
    Ok(())
}
