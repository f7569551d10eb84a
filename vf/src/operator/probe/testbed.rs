//! The VFs of a probe: claimed and configured as for a container, moved to a netns of the probe,
//! and released at the end.
//!
//! The claims stay in the state `configured`, with the probe as their worker. So they count as
//! abandoned once the probe is dead. In the state `attached`, `runvfctl gc` would look for the
//! netdevs in the netns of a container's process, but there is no container.

mod prepare;

use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;

use super::evidence::{Arrivals, Evidence};
use super::exchange::{Station, exchange};
use super::options::{ProbeOptions, ProbeVf, Watch};
use super::topology::{Role, Vlans};
use crate::error::Error;
use crate::host::Host;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, NetnsRecord};
use crate::kernel::packet::Port;
use crate::kernel::process::ProcessId;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::audit::Event;
use crate::ledger::claim::Claim;
use crate::ledger::claims::Claims;
use crate::ledger::lock::LOCK_TIMEOUT;
use crate::lifecycle::attach::{nonce, set_up_netdev};
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::outcome::{Outcome, Released};
use crate::lifecycle::release::release_claim;
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::find_link::wait_for_link;
use crate::nic::pf::Pf;
use crate::nic::vf_config::{read_settings, verify_settings};
use crate::policy::config::{Config, Pool, Profile};
use crate::policy::request::Interface;
use crate::policy::transmit::Transmit;

/// A claimed VF and its role.
struct TestVf {
    role: Role,
    claim: Claim,
    interface: Interface,
}

/// A PF under test, with the VFs that the probe has claimed so far. Dropping it releases the VFs.
pub(super) struct Testbed<'a> {
    host: &'a Host,
    pub(super) pf: Pf,
    pool: Pool,
    pub(super) vlans: Vlans,
    sysfs: Sysfs,
    netlink: Netlink,
    claims: Claims,
    netns: Netns,
    netns_record: NetnsRecord,
    worker: ProcessId,
    nonce: String,
    test_vfs: Vec<TestVf>,
}

impl<'a> Testbed<'a> {
    pub(super) fn new(host: &'a Host, pf: Pf, pool: &Pool) -> Result<Self, Error> {
        let netlink = Netlink::open()?;
        let up = wait_for_link(&netlink, pf.ifindex)?.is_some_and(|link| link.flags.up);
        if !up {
            return Err(Error::Nic(NicError::PfDown { pf: pf.name }));
        }
        let no_own_process =
            Error::Kernel(KernelError::Call { action: "find this process", source: Errno::ESRCH });
        let worker = ProcessId::own().ok_or(no_own_process)?;
        let netns = Netns::create()?;
        Ok(Self {
            host,
            pf,
            // With the sensor profile the kernel sends no frames of its own (ARP, IPv6), so only
            // the probe's frames are sent.
            pool: Pool {
                profile: Profile::Sensor,
                transmit: Some(Transmit::Allow),
                ..pool.clone()
            },
            vlans: Vlans::default(),
            sysfs: Sysfs(host.sysfs.clone()),
            netlink,
            claims: Claims::open(&host.run)?,
            netns_record: netns.record()?,
            netns,
            worker,
            nonce: nonce(worker),
            test_vfs: Vec::new(),
        })
    }

    /// Claims free VFs, exchanges frames between them, and returns the evidence.
    ///
    /// # Errors
    /// The errors of [`super::probe`]. If a driver refuses a setting of a VF, or a VF gets no
    /// carrier, that is evidence and no error.
    pub(super) fn run(
        &mut self,
        config: &Config,
        options: &ProbeOptions,
        watch: Watch<'_>,
    ) -> Result<Evidence, Error> {
        let refused = self.prepare(config, options, watch)?;
        let sensor = self
            .test_vfs
            .first()
            .map(|sensor| read_settings(&self.netlink, &self.pf, &sensor.claim));
        let mut evidence = Evidence {
            vlans: self.vlans,
            roles: self.test_vfs.iter().map(|test_vf| test_vf.role).collect(),
            sensor: sensor.transpose()?,
            blocked: refused,
            arrivals: Arrivals::default(),
        };
        if evidence.blocked.is_none() {
            (watch.progress)("waiting for carrier");
            evidence.blocked = self.bring_up()?;
        }
        if evidence.blocked.is_none() {
            (watch.progress)("sending frames");
            evidence.arrivals = self.send(watch)?;
            self.verify_claims()?;
        }
        Ok(evidence)
    }

    /// Brings all VFs up in parallel, because each may wait for its carrier. Returns the error line
    /// if a VF gets no carrier.
    fn bring_up(&self) -> Result<Option<String>, Error> {
        let (netns, pool) = (&self.netns, &self.pool);
        let pf_driver = driver(self.sysfs.driver(&self.pf.pci).as_deref());
        let results: Vec<Result<(), Error>> = thread::scope(|scope| {
            let thread_failed =
                |source| Error::Kernel(KernelError::Call { action: "bring VFs up", source });
            let threads: Vec<_> = self
                .test_vfs
                .iter()
                .map(|TestVf { claim, interface, .. }| {
                    let set_up = move || set_up_netdev(claim, interface, pool, pf_driver);
                    let work = move || netns.inside(set_up).map(drop);
                    thread::Builder::new().spawn_scoped(scope, work)
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| match thread {
                    Ok(thread) => thread.join().unwrap_or_else(|_| Err(thread_failed(Errno::EIO))),
                    // The thread could not be created.
                    Err(_) => Err(thread_failed(Errno::EAGAIN)),
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

    fn send(&self, watch: Watch<'_>) -> Result<Arrivals, Error> {
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

    /// Checks that the claims and the settings of the VFs are unchanged. Otherwise the arrivals
    /// prove nothing.
    ///
    /// # Errors
    /// [`LifecycleError::ClaimLost`]; the errors of the read-back.
    fn verify_claims(&self) -> Result<(), Error> {
        for TestVf { claim, .. } in &self.test_vfs {
            match self.claims.get(&claim.vf)? {
                Some(current) if current == *claim => {
                    verify_settings(&self.netlink, &self.sysfs, claim)?
                }
                _ => {
                    let (vf, container) = (claim.vf.clone(), claim.container.clone());
                    return Err(Error::Lifecycle(LifecycleError::ClaimLost { vf, container }));
                }
            }
        }
        Ok(())
    }

    pub(super) fn vfs(&self) -> Vec<ProbeVf> {
        let probe_vf = |TestVf { role, claim, interface }: &TestVf| ProbeVf {
            vf: claim.vf.clone(),
            role: role.name(),
            vlan: interface.vlan,
            trusted: claim.want.trust,
        };
        self.test_vfs.iter().map(probe_vf).collect()
    }

    /// Releases every VF. A VF that cannot be scrubbed is quarantined.
    pub(super) fn release(mut self) -> Vec<Released> {
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

/// Opens the VF's netdev for sending and receiving. The caller is in the probe's netns.
fn station(
    netlink: &Netlink,
    TestVf { role, claim, interface }: &TestVf,
) -> Result<Station, Error> {
    let name = format!("{} (VF {})", interface.name, claim.vf);
    let missing = Error::Lifecycle(LifecycleError::BadNetdev {
        vf: claim.vf.clone(),
        interface: interface.name.clone(),
        problem: "does not exist",
    });
    let link = netlink.link_by_pci(&claim.vf)?.ok_or(missing)?;
    let port = Port::open(link.ifindex).map_err(|errno| {
        Error::Kernel(KernelError::Link {
            action: "listen on",
            object: name.clone(),
            source: NetlinkError::Refused(errno),
        })
    })?;
    Ok(Station { role: *role, name, mac: link.mac, port })
}
