//! The PF's part of an attach: choose a VF, claim it and configure it, all under the PF's lock, and
//! bind its driver.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::configure::{bind_driver, configure, take_snapshot, wanted_settings};
use super::mac_conflict::MacsInUse;
use super::session::AttachSession;
use crate::error::Error;
use crate::kernel::interrupts::cpus_of_process;
use crate::kernel::netlink::VfSettings;
use crate::kernel::netns::NetnsRecord;
use crate::kernel::process::boot_id;
use crate::ledger::claim::{BlindTotal, CLAIM_VERSION, Claim, State};
use crate::ledger::error::LedgerError;
use crate::ledger::lock::{LOCK_TIMEOUT, VfLock, lock_pf_within, lock_tenant, try_lock_vf};
use crate::ledger::tenancy::check_quota;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::reconcile::reconcile_pf;
use crate::nic::create_vfs::{create_vfs, wanted_vfs};
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::free_vfs::{FreeVf, FreeVfs, UnavailableVfs};
use crate::nic::pf::Pf;
use crate::nic::placement::order_pfs;
use crate::nic::promisc::check_pf;
use crate::nic::vfio::isolated_group;
use crate::policy::authorize::may_send;
use crate::policy::config::{Pool, Promisc, Rest, Scrub};
use crate::policy::request::Interface;
use crate::policy::transmit::Transmit;

impl AttachSession<'_> {
    /// Claims and configures a VF on the first PF, in the order of [`order_pfs`], that has a free one,
    /// and binds its driver. A PF that cannot serve the request is skipped; its error is returned if
    /// no other PF can.
    ///
    /// A PF that is locked by another attach is tried again in a second round, so that two attaches
    /// do not wait for one PF while another PF is idle.
    pub(super) fn claim_vf(
        &self,
        interface: &Interface,
        pool: &Pool,
        netns: NetnsRecord,
    ) -> Result<Claim, Error> {
        let mut first_error = None;
        let mut full_pfs = Vec::new();
        let mut locked_pfs = Vec::new();
        let claims = self.claims.readable()?;
        // The CPUs of a container that does not exist yet are unknown.
        let cpus = self.init.filter(|_| !interface.vfio).and_then(|init| cpus_of_process(init.pid));
        let pfs = order_pfs(&self.sysfs, pool, &claims, cpus.as_ref());
        let first_round = pfs.into_iter().map(|pf_name| (pf_name, Duration::ZERO));
        let mut rounds = first_round.collect::<VecDeque<_>>();
        while let Some((pf_name, timeout)) = rounds.pop_front().or_else(|| locked_pfs.pop()) {
            match self.claim_on_pf(pf_name, interface, pool, netns, timeout) {
                Ok(Ok((claim, _vf_lock))) => {
                    bind_driver(&self.sysfs, &claim)?;
                    return Ok(claim);
                }
                Ok(Err(unavailable)) => full_pfs.push(format!(
                    "{pf_name} has {} claimed and {} in use by something else",
                    unavailable.claimed, unavailable.foreign
                )),
                Err(Error::Ledger(LedgerError::Locked { .. })) if timeout.is_zero() => {
                    locked_pfs.insert(0, (pf_name, LOCK_TIMEOUT))
                }
                Err(error) if is_unfit_pf(&error) => {
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match first_error {
            Some(error) if full_pfs.is_empty() => Err(error),
            first_error => {
                full_pfs.extend(first_error.map(|error| error.to_string()));
                Err(Error::Lifecycle(LifecycleError::NoFreeVf {
                    pool: pool.name.clone(),
                    detail: full_pfs.join(", "),
                }))
            }
        }
    }

    /// Under the PF's lock: creates VFs if there are none, chooses a free VF, locks it, writes the
    /// claim, and configures the VF. `Ok(Err(_))`: the PF has no free VF.
    fn claim_on_pf(
        &self,
        pf_name: &str,
        interface: &Interface,
        pool: &Pool,
        netns: NetnsRecord,
        timeout: Duration,
    ) -> Result<Result<(Claim, VfLock), UnavailableVfs>, Error> {
        let pf = Pf::find(&self.sysfs, pf_name, pool)?;
        let host = &self.grant.host;
        let lock = lock_pf_within(&host.run, &pf.pci, timeout)?;
        let up = self.netlink.pf_with_vfs(&pf.name, pf.ifindex)?.filter(|(link, _)| link.flags.up);
        let (link, mut settings) =
            up.ok_or_else(|| Error::Nic(NicError::PfDown { pf: pf.name.clone() }))?;
        check_pf(&self.sysfs, &pf, link.flags.promisc, interface, pool)?;
        // Empty settings are read again too, because another tool, which does not take the lock,
        // may have created VFs in between.
        if create_vfs(&self.sysfs, &pf, wanted_vfs(&pf, pool))? || settings.is_empty() {
            settings = self.netlink.vf_settings(&pf.name, pf.ifindex)?;
        }
        let unavailable = match self.claim_free_vf(&pf, interface, pool, netns, settings)? {
            Err(unavailable) => unavailable,
            claimed => return Ok(claimed),
        };
        // Reconcile this PF again, because the process that had the lock before us may have died
        // and left an abandoned claim.
        if !reconcile_pf(host, &pf.pci, &lock) {
            return Ok(Err(unavailable));
        }
        let settings = self.netlink.vf_settings(&pf.name, pf.ifindex)?;
        self.claim_free_vf(&pf, interface, pool, netns, settings)
    }

    /// Claims and configures the first free VF on which the interface's MAC is its own. The caller
    /// has the PF's lock. Returns the VF's lock as well, for the bind.
    fn claim_free_vf(
        &self,
        pf: &Pf,
        interface: &Interface,
        pool: &Pool,
        netns: NetnsRecord,
        settings: VfSettings,
    ) -> Result<Result<(Claim, VfLock), UnavailableVfs>, Error> {
        let macs_in_use = MacsInUse::new(pf, interface, self.claims.readable()?, &settings);
        let mut mac_in_use = None;
        let rest = driver(self.sysfs.driver(&pf.pci).as_deref()).rest(pool);
        let mut free_vfs =
            FreeVfs::new(&self.sysfs, &self.netlink, &self.claims, pf, settings, rest);
        while let Some(vf) = free_vfs.next()? {
            if let Err(error) = macs_in_use.check(&vf) {
                mac_in_use.get_or_insert(error);
                continue;
            }
            if pool.scrub == Scrub::Flr && !self.sysfs.has_flr(&vf.pci) {
                return Err(Error::Nic(NicError::NoFlr { vf: vf.pci, pool: pool.name.clone() }));
            }
            // The lock of a free VF may be held by a write to its driver that hangs.
            let vf_lock = match try_lock_vf(&self.grant.host.run, &vf.pci) {
                Err(Error::Ledger(LedgerError::Locked { .. })) => continue,
                locked => locked?,
            };
            let claim = self.new_claim(pf, &vf, interface, (pool, rest), netns)?;
            // `false`: a process without the lock (an operator, for example) has put a file at the
            // claim's path. Then the next free VF is tried.
            if self.create_claim(&claim)? {
                configure(&self.sysfs, &self.netlink, pf, &vf, &claim)?;
                return Ok(Ok((claim, vf_lock)));
            }
        }
        match mac_in_use {
            Some(error) => Err(error),
            None => Ok(Err(free_vfs.unavailable())),
        }
    }

    /// Writes the claim if the tenant's quota allows one more VF. The tenant's lock keeps another
    /// attach of this tenant, on any PF, from counting between the check and the write.
    fn create_claim(&self, claim: &Claim) -> Result<bool, Error> {
        let with_quota = self.grant.tenant.as_ref().filter(|grant| grant.tenant.max.is_some());
        let Some(grant) = with_quota else { return self.claims.create(claim) };
        let _lock = lock_tenant(&self.grant.host.run, &grant.tenant.name)?;
        check_quota(grant, &self.claims.readable()?, 1)?;
        self.claims.create(claim)
    }

    fn new_claim(
        &self,
        pf: &Pf,
        vf: &FreeVf,
        interface: &Interface,
        (pool, rest): (&Pool, Rest),
        netns: NetnsRecord,
    ) -> Result<Claim, Error> {
        let iommu_group =
            interface.vfio.then(|| isolated_group(&self.sysfs, &vf.pci)).transpose()?;
        let claim = Claim {
            version: CLAIM_VERSION,
            vf: vf.pci.clone(),
            index: vf.index,
            pf: pf.pci.clone(),
            pf_name: pf.name.clone(),
            state: State::Claiming,
            nonce: self.nonce.clone(),
            boot_id: boot_id()?,
            container: self.id.to_owned(),
            tenant: self.grant.tenant_name().map(str::to_owned),
            pod: self.grant.pod.as_ref().map(|role| role.pod().clone()),
            interface: interface.name.clone(),
            netns,
            init: self.init,
            worker: self.worker,
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            scrub: pool.scrub,
            on_loss: pool.on_loss,
            want: wanted_settings(&vf.settings, interface),
            before: take_snapshot(&self.sysfs, &self.netlink, vf)?,
            park: rest == Rest::Unbound,
            carrier: None,
            checked: None,
            gap: None,
            blind: BlindTotal::default(),
            on_promisc_off: pool.on_promisc_off,
            joined: Vec::new(),
            network: self.network.map(str::to_owned),
            idle_since: None,
            iommu_group,
            transmit: Some(match may_send(interface, pool) {
                true => Transmit::Allow,
                false => Transmit::Drop,
            }),
            promisc_required: pool.promisc == Promisc::Require,
        };
        Ok(Claim { version: claim.min_version(), ..claim })
    }
}

/// Whether the error says that this PF cannot serve the request, so that another PF may.
fn is_unfit_pf(error: &Error) -> bool {
    match error {
        Error::Nic(error) => matches!(
            error,
            NicError::NoPf { .. }
                | NicError::NoSriov { .. }
                | NicError::PfInOtherNetns { .. }
                | NicError::SeveralNetdevs { .. }
                | NicError::NotPfNetdev { .. }
                | NicError::WrongDriver { .. }
                | NicError::PfDown { .. }
                | NicError::NotPromiscuous { .. }
                | NicError::PfBusy { .. }
                | NicError::WrongVfCount { .. }
                | NicError::ProtoUnsupported { .. }
                | NicError::NoVfio { .. }
                | NicError::NoIommu { .. }
                | NicError::SharedGroup { .. }
        ),
        Error::Lifecycle(LifecycleError::MacInUse { .. }) => true,
        _ => false,
    }
}
