//! The VFs of a probe: claimed and configured as for a container, in a namespace of its own, and given back.
//!
//! Its claims go no further than `configured`, whose worker is the probe: once that is dead they are abandoned, whatever the kernel
//! has done by then. `attached` would have `gc` look for the interfaces in the namespace of a container's process, and there is none.

use std::os::fd::AsFd;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;

use super::exchange::{Seen, Station, exchange};
use super::options::{ProbeOptions, ProbeVf, Watch};
use super::topology::{Role, Vlans, topology};
use crate::error::Error;
use crate::host::Host;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, NetnsRecord};
use crate::kernel::packet::Port;
use crate::kernel::process::{ProcessId, boot_id};
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::Settings;
use crate::kernel::vlan::VlanProto;
use crate::ledger::audit;
use crate::ledger::audit::{Entry, Event};
use crate::ledger::claim::{Claim, Claims, PROBE, State};
use crate::ledger::lock::{LOCK_TIMEOUT, lock_pf};
use crate::lifecycle::attach::{before, configure, nonce, set_up, wanted};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::release::release_claim;
use crate::lifecycle::release::{Outcome, Released};
use crate::nic::error::NicError;
use crate::nic::free_vfs::{FreeVf, Taken, free_vfs};
use crate::nic::pf::Pf;
use crate::nic::vf_config::{read, readback};
use crate::operator::error::OperatorError;
use crate::policy::config::Config;
use crate::policy::config::{OnLoss, Pool, Profile, Scrub};
use crate::policy::request::Interface;

/// What there is to judge by.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) vlans: Vlans,
    pub(super) roles: Vec<Role>,
    /// What the PF says of the sensor, once it has been configured.
    pub(super) sensor: Option<Settings>,
    /// Why no frame was sent at all.
    pub(super) blocked: Option<String>,
    pub(super) seen: Seen,
}

/// A VF in its role.
struct TestVf {
    role: Role,
    claim: Claim,
    interface: Interface,
}

pub(super) struct Testbed<'a> {
    host: &'a Host,
    pub(super) pf: Pf,
    pool: Pool,
    pub(super) vlans: Vlans,
    sysfs: Sysfs,
    netlink: Netlink,
    claims: Claims,
    netns: Netns,
    record: NetnsRecord,
    worker: ProcessId,
    nonce: String,
    test_vfs: Vec<TestVf>,
}

impl<'a> Testbed<'a> {
    pub(super) fn new(host: &'a Host, pf: Pf, pool: &Pool) -> Result<Self, Error> {
        let netlink = Netlink::open()?;
        let up = netlink.link(pf.ifindex)?.is_some_and(|link| link.flags.up);
        if !up {
            return Err(Error::Nic(NicError::PfDown { pf: pf.name }));
        }
        let gone =
            Error::Kernel(KernelError::Call { action: "find this process", source: Errno::ESRCH });
        let worker = ProcessId::own().ok_or(gone)?;
        let netns = Netns::create()?;
        Ok(Self {
            host,
            pf,
            // Whatever containers may do with the pool's VFs, a probe says nothing but its frames.
            pool: Pool { profile: Profile::Sensor, ..pool.clone() },
            vlans: Vlans::default(),
            sysfs: Sysfs(host.sysfs.clone()),
            netlink,
            claims: Claims::open(&host.run)?,
            record: netns.record()?,
            netns,
            worker,
            nonce: nonce(worker),
            test_vfs: Vec::new(),
        })
    }

    /// From free VFs to what there is to judge by.
    ///
    /// # Errors
    /// Those of [`super::probe`]. What a driver refuses of a VF's settings, and a carrier that does not come, is no error but a fact.
    pub(super) fn run(
        &mut self,
        config: &Config,
        options: &ProbeOptions,
        watch: Watch<'_>,
    ) -> Result<Facts, Error> {
        let refused = self.enter(config, options, watch)?;
        let sensor =
            self.test_vfs.first().map(|sensor| read(&self.netlink, &self.pf, &sensor.claim));
        let mut facts = Facts {
            vlans: self.vlans,
            roles: self.test_vfs.iter().map(|test_vf| test_vf.role).collect(),
            sensor: sensor.transpose()?,
            blocked: refused,
            seen: Seen::default(),
        };
        if facts.blocked.is_none() {
            (watch.tell)("waiting for their carriers");
            facts.blocked = self.bring_up()?;
        }
        if facts.blocked.is_none() {
            (watch.tell)("sending");
            facts.seen = self.send(watch)?;
            self.still_as_claimed()?;
        }
        Ok(facts)
    }

    /// The PF's part, all under its lock: choose, claim, configure, move. Returns what a driver would not do.
    fn enter(
        &mut self,
        config: &Config,
        options: &ProbeOptions,
        watch: Watch<'_>,
    ) -> Result<Option<String>, Error> {
        let _lock = lock_pf(&self.host.run, &self.pf.pci)?;
        let (free, Taken { claimed, foreign }) =
            free_vfs(&self.sysfs, &self.netlink, &self.claims, &self.pf)?;
        let (pf, count) = (self.pf.name.clone(), free.len());
        let roles = topology(count);
        if roles.is_empty() {
            return Err(Error::Operator(OperatorError::TooFewFree {
                pf,
                free: count,
                claimed,
                foreign,
            }));
        }
        let all = self.netlink.vf_settings(&self.pf.name, self.pf.ifindex)?;
        let used = all.values().map(|settings| settings.vlan).collect();
        self.vlans = Vlans::choose(options, &used, &config.tenants)
            .ok_or_else(|| Error::Operator(OperatorError::NoSpareVlan { pf: pf.clone() }))?;
        for vf in &free {
            if self.pool.scrub == Scrub::Flr && !self.sysfs.has_flr(&vf.pci) {
                return Err(Error::Nic(NicError::NoFlr {
                    vf: vf.pci.clone(),
                    pool: self.pool.name.clone(),
                }));
            }
        }
        (watch.tell)(&format!("preparing {} VFs", roles.len()));
        for (role, vf) in roles.iter().zip(&free) {
            watch.go_on(&pf)?;
            match self.admit(*role, vf, config) {
                Err(
                    error @ (Error::Nic(NicError::SetVf { .. })
                    | Error::Nic(NicError::ReadbackDiffers { .. })),
                ) => {
                    return Ok(Some(error.line()));
                }
                other => other?,
            }
        }
        Ok(None)
    }

    fn admit(&mut self, role: Role, vf: &FreeVf, config: &Config) -> Result<(), Error> {
        let interface = Interface {
            name: format!("probe{}", self.test_vfs.len()),
            vlan: self.vlans.of(role),
            pool: None,
            mtu: None,
            mac: None,
            qos: 0,
            proto: VlanProto::Dot1Q,
        };
        let claim = self.claim_of(role, vf, &interface, config)?;
        if !self.claims.create(&claim)? {
            return Err(Error::Lifecycle(LifecycleError::ClaimLost {
                vf: claim.vf,
                container: claim.container,
            }));
        }
        // From here on it is to be given back, whatever happens.
        self.test_vfs.push(TestVf { role, claim, interface });
        let Some(TestVf { claim, .. }) = self.test_vfs.last_mut() else { return Ok(()) };
        let (name, ifindex) =
            configure(&self.sysfs, &self.netlink, &self.claims, &self.pf, vf, claim)?;
        // Before it can see anything.
        audit::record(self.host, &Entry::attached(claim))?;
        let object = format!("{name} (VF {})", claim.vf);
        let failed =
            |source| Error::Kernel(KernelError::Link { action: "move away", object, source });
        self.netlink.move_to(ifindex, self.netns.as_fd(), &claim.interface).map_err(failed)
    }

    fn claim_of(
        &self,
        role: Role,
        vf: &FreeVf,
        interface: &Interface,
        config: &Config,
    ) -> Result<Claim, Error> {
        let owner = config.tenants.iter().find(|tenant| tenant.owns(interface.vlan));
        Ok(Claim {
            vf: vf.pci.clone(),
            index: vf.index,
            pf: self.pf.pci.clone(),
            pf_name: self.pf.name.clone(),
            state: State::Claiming,
            nonce: self.nonce.clone(),
            boot_id: boot_id()?,
            container: PROBE.to_owned(),
            tenant: owner.map(|tenant| tenant.name.clone()),
            interface: interface.name.clone(),
            netns: self.record,
            init: self.worker,
            worker: self.worker,
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            scrub: self.pool.scrub,
            on_loss: OnLoss::Keep,
            want: Settings { trust: role.trusted(), ..wanted(&vf.settings, interface) },
            before: before(&self.sysfs, &self.netlink, vf)?,
        })
    }

    /// All at once, since each may wait for its carrier. Returns which one did not come.
    fn bring_up(&self) -> Result<Option<String>, Error> {
        let (netns, pool) = (&self.netns, &self.pool);
        let results: Vec<Result<(), Error>> = thread::scope(|scope| {
            let broken =
                |source| Error::Kernel(KernelError::Call { action: "bring VFs up", source });
            let all: Vec<_> = self
                .test_vfs
                .iter()
                .map(|TestVf { claim, interface, .. }| {
                    let work = move || netns.inside(|| set_up(claim, interface, pool));
                    thread::Builder::new().spawn_scoped(scope, work)
                })
                .collect();
            all.into_iter()
                .map(|one| match one {
                    Ok(one) => one.join().unwrap_or_else(|_| Err(broken(Errno::EIO))),
                    // There is no thread to be had.
                    Err(_) => Err(broken(Errno::EAGAIN)),
                })
                .collect()
        });
        for result in results {
            match result {
                Err(error @ Error::Lifecycle(LifecycleError::NoCarrier { .. })) => {
                    return Ok(Some(error.line()));
                }
                other => other?,
            }
        }
        Ok(None)
    }

    fn send(&self, watch: Watch<'_>) -> Result<Seen, Error> {
        let (test_vfs, pf) = (&self.test_vfs, self.pf.name.as_str());
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        self.netns.inside(|| {
            let netlink = Netlink::open()?;
            let stations = test_vfs
                .iter()
                .map(|test_vf| station(&netlink, test_vf))
                .collect::<Result<Vec<_>, _>>()?;
            exchange(&stations, nanos as u64, pf, watch)
        })
    }

    /// Somebody may have taken a VF back meanwhile, or changed it: then what was seen says nothing.
    fn still_as_claimed(&self) -> Result<(), Error> {
        for TestVf { claim, .. } in &self.test_vfs {
            match self.claims.get(&claim.vf)? {
                Some(now) if now == *claim => readback(&self.netlink, &self.sysfs, claim)?,
                _ => {
                    let (vf, container) = (claim.vf.clone(), claim.container.clone());
                    return Err(Error::Lifecycle(LifecycleError::ClaimLost { vf, container }));
                }
            }
        }
        Ok(())
    }

    pub(super) fn vfs(&self) -> Vec<ProbeVf> {
        let one = |TestVf { role, claim, interface }: &TestVf| ProbeVf {
            vf: claim.vf.clone(),
            role: role.name(),
            vlan: interface.vlan,
            trusted: claim.want.trust,
        };
        self.test_vfs.iter().map(one).collect()
    }

    /// Gives every VF back. What cannot be cleaned is quarantined.
    pub(super) fn give_back(mut self) -> Vec<Released> {
        self.release_all()
    }

    fn release_all(&mut self) -> Vec<Released> {
        let release = |TestVf { claim, .. }: TestVf| {
            let outcome = release_claim(self.host, &claim, LOCK_TIMEOUT, Event::Released);
            Released::of(&claim, outcome.unwrap_or_else(|error| Outcome::Left(error.line())))
        };
        std::mem::take(&mut self.test_vfs).into_iter().map(release).collect()
    }
}

impl Drop for Testbed<'_> {
    fn drop(&mut self) {
        self.release_all();
    }
}

/// Within the namespace.
fn station(
    netlink: &Netlink,
    TestVf { role, claim, interface }: &TestVf,
) -> Result<Station, Error> {
    let name = format!("{} (VF {})", interface.name, claim.vf);
    let gone = Error::Lifecycle(LifecycleError::NotInside {
        vf: claim.vf.clone(),
        interface: interface.name.clone(),
        what: "there",
    });
    let link = netlink.link_of(&claim.vf)?.ok_or(gone)?;
    let port = Port::open(link.ifindex).map_err(|errno| {
        Error::Kernel(KernelError::Link {
            action: "listen on",
            object: name.clone(),
            source: NetlinkError::Refused(errno),
        })
    })?;
    Ok(Station { role: *role, name, mac: link.mac, port })
}
