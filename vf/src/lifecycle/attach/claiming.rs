//! The PF's part of an attach: a VF is chosen, claimed and configured, all under the PF's lock.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::session::AttachSession;
use crate::error::Error;
use crate::kernel::mac::MacAddress;
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netlink::{Netlink, VfSettings};
use crate::kernel::netns::NetnsRecord;
use crate::kernel::process::boot_id;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::{LinkState, Settings};
use crate::ledger::claim::{Before, Claim, Claims, State};
use crate::ledger::error::LedgerError;
use crate::ledger::lock::{LOCK_TIMEOUT, lock_pf_within, lock_tenant};
use crate::ledger::tenancy::check_quota;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::reconcile::reconcile_pf;
use crate::nic::create_vfs::{create_vfs, wait_for_netdev};
use crate::nic::diff::changes;
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::free_vfs::{FreeVf, FreeVfs, Taken};
use crate::nic::pf::Pf;
use crate::nic::promisc::fit;
use crate::nic::vf_config::{converge_from, read, unbind};
use crate::policy::config::{Pool, Scrub};
use crate::policy::request::Interface;

/// What is claimed, and its netdev: name and index.
type Claimed = (Claim, (String, u32));

impl AttachSession<'_> {
    /// Claims and configures a VF on the first of the pool's PFs that has one. A PF that cannot serve is passed over; what
    /// was wrong with it is the error if no other can.
    ///
    /// PFs that are busy with another attach are left for a second round, so that two attaches do not queue for one PF while the
    /// next is idle.
    pub(super) fn claim(
        &self,
        interface: &Interface,
        pool: &Pool,
        netns: NetnsRecord,
    ) -> Result<Claimed, Error> {
        let mut unfit = None;
        let mut full = Vec::new();
        let mut busy = Vec::new();
        let first_round = pool.pfs.iter().map(|named| (named, Duration::ZERO));
        let mut rounds = first_round.collect::<VecDeque<_>>();
        while let Some((named, timeout)) = rounds.pop_front().or_else(|| busy.pop()) {
            match self.claim_on(named, interface, pool, netns, timeout) {
                Ok(Ok(claimed)) => return Ok(claimed),
                Ok(Err(taken)) => full.push(format!(
                    "{named} has {} claimed and {} in use by something else",
                    taken.claimed, taken.foreign
                )),
                Err(Error::Ledger(LedgerError::Locked { .. })) if timeout.is_zero() => {
                    busy.insert(0, (named, LOCK_TIMEOUT))
                }
                Err(
                    error @ (Error::Nic(NicError::NoPf { .. })
                    | Error::Nic(NicError::NoSriov { .. })
                    | Error::Nic(NicError::WrongDriver { .. })
                    | Error::Nic(NicError::PfDown { .. })
                    | Error::Nic(NicError::NotPromiscuous { .. })
                    | Error::Nic(NicError::PfBusy { .. })
                    | Error::Nic(NicError::WrongVfCount { .. })
                    | Error::Nic(NicError::ProtoUnsupported { .. })),
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
                Err(Error::Lifecycle(LifecycleError::NoFreeVf {
                    pool: pool.name.clone(),
                    detail: full.join(", "),
                }))
            }
        }
    }

    /// The PF's part, all under its lock: choose, write the claim down, configure, read back, wait for the netdev.
    fn claim_on(
        &self,
        named: &str,
        interface: &Interface,
        pool: &Pool,
        netns: NetnsRecord,
        timeout: Duration,
    ) -> Result<Result<Claimed, Taken>, Error> {
        let pf = Pf::find(&self.sysfs, named, pool)?;
        let host = &self.grant.host;
        let lock = lock_pf_within(&host.run, &pf.pci, timeout)?;
        let there = self.netlink.pf(&pf.name, pf.ifindex)?.filter(|(link, _)| link.flags.up);
        let (link, mut settings) =
            there.ok_or_else(|| Error::Nic(NicError::PfDown { pf: pf.name.clone() }))?;
        fit(&self.sysfs, &pf, link.flags.promisc, interface, pool)?;
        // Or somebody without our lock has made some since.
        if create_vfs(&self.sysfs, &pf, pool)? || settings.is_empty() {
            settings = self.netlink.vf_settings(&pf.name, pf.ifindex)?;
        }
        let full = match self.claim_free(&pf, interface, pool, netns, settings)? {
            Err(full) => full,
            claimed => return Ok(claimed),
        };
        // Since the last look at the dead there was a wait for the lock, and whoever had it may have died of it.
        if !reconcile_pf(host, &pf.pci, &lock) {
            return Ok(Err(full));
        }
        let settings = self.netlink.vf_settings(&pf.name, pf.ifindex)?;
        self.claim_free(&pf, interface, pool, netns, settings)
    }

    /// The first that is free, under the PF's lock.
    fn claim_free(
        &self,
        pf: &Pf,
        interface: &Interface,
        pool: &Pool,
        netns: NetnsRecord,
        settings: VfSettings,
    ) -> Result<Result<Claimed, Taken>, Error> {
        let mut free = FreeVfs::new(&self.sysfs, &self.netlink, &self.claims, pf, settings);
        while let Some(vf) = free.next()? {
            if pool.scrub == Scrub::Flr && !self.sysfs.has_flr(&vf.pci) {
                return Err(Error::Nic(NicError::NoFlr { vf: vf.pci, pool: pool.name.clone() }));
            }
            let mut claim = self.claim_of(pf, &vf, interface, pool, netns)?;
            // Somebody without our lock may put a record there by hand; then the next VF is as good.
            if self.create(&claim)? {
                let netdev =
                    configure(&self.sysfs, &self.netlink, &self.claims, pf, &vf, &mut claim)?;
                return Ok(Ok((claim, netdev)));
            }
        }
        Ok(Err(free.taken()))
    }

    /// Writes the claim down, if its tenant may have one VF more. No other attach of that tenant can count in between, whatever
    /// PF it is on.
    fn create(&self, claim: &Claim) -> Result<bool, Error> {
        let bounded = self.grant.tenant.as_ref().filter(|grant| grant.tenant.max.is_some());
        let Some(grant) = bounded else { return self.claims.create(claim) };
        let _lock = lock_tenant(&self.grant.host.run, &grant.tenant.name)?;
        check_quota(grant, &self.claims.readable()?, 1)?;
        self.claims.create(claim)
    }

    fn claim_of(
        &self,
        pf: &Pf,
        vf: &FreeVf,
        interface: &Interface,
        pool: &Pool,
        netns: NetnsRecord,
    ) -> Result<Claim, Error> {
        Ok(Claim {
            vf: vf.pci.clone(),
            index: vf.index,
            pf: pf.pci.clone(),
            pf_name: pf.name.clone(),
            state: State::Claiming,
            nonce: self.nonce.clone(),
            boot_id: boot_id()?,
            container: self.container.id.clone(),
            tenant: self.grant.tenant_name().map(str::to_owned),
            interface: interface.name.clone(),
            netns,
            init: self.init,
            worker: self.worker,
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            scrub: pool.scrub,
            on_loss: pool.on_loss,
            want: wanted(&vf.settings, interface),
            before: before(&self.sysfs, &self.netlink, vf)?,
        })
    }
}

/// A free VF as it is, to be found so again.
pub(crate) fn before(sysfs: &Sysfs, netlink: &Netlink, vf: &FreeVf) -> Result<Before, Error> {
    let netdev = match &vf.link {
        Some(link) => Some(NetdevSettings::seen(netlink, &vf.pci, link)?),
        None => None,
    };
    Ok(Before {
        driver: vf.driver.clone(),
        driver_override: sysfs.driver_override(&vf.pci),
        settings: vf.settings,
        netdev,
    })
}

/// Leads a VF that has just been claimed to what its claim wants, under the lock under which it was found free. Returns the name
/// and the index of its netdev.
pub(crate) fn configure(
    sysfs: &Sysfs,
    netlink: &Netlink,
    claims: &Claims,
    pf: &Pf,
    vf: &FreeVf,
    claim: &mut Claim,
) -> Result<(String, u32), Error> {
    let known = driver(sysfs.driver(&pf.pci).as_deref());
    let right = changes(&vf.settings, &claim.want).is_empty();
    let assigned = claim.want.mac != MacAddress::default();
    // Without its driver there is no VF that a change could reset; and an assigned address is read when a driver binds
    // (igb: "Reload the VF driver").
    let have = match &vf.driver {
        Some(driver) if assigned || known.config_resets_vf && !right => {
            unbind(sysfs, &pf.pci, &vf.pci, driver)?;
            read(netlink, pf, claim)?
        }
        // A moment ago.
        _ => vf.settings,
    };
    converge_from(netlink, pf, claim, &have, &claim.want)?;
    if sysfs.driver(&vf.pci).is_none() {
        sysfs.probe(&vf.pci, vf.driver.as_deref().or(known.vf))?;
    }
    let netdev = wait_for_netdev(sysfs, &vf.pci)?;
    claims.advance(claim, State::Configured)?;
    Ok(netdev)
}

pub(crate) fn wanted(have: &Settings, interface: &Interface) -> Settings {
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
        // The operator's, if anybody's.
        min_rate: have.min_rate,
        max_rate: have.max_rate,
    }
}
