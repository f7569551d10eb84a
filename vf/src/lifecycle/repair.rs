//! Recover a quarantined VF: FLR, rebind, verify.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::host::Host;
use crate::kernel::mac::MacAddress;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::netns_life::Effort;
use crate::kernel::process::{ProcessId, boot_id};
use crate::kernel::sysfs::{Sysfs, is_pci_address};
use crate::kernel::vf_settings::Settings;
use crate::ledger::audit::Event;
use crate::ledger::claim::{BlindTotal, CLAIM_VERSION, Claim, State, VfSnapshot};
use crate::ledger::claims::Claims;
use crate::ledger::error::LedgerError;
use crate::ledger::lock::LOCK_TIMEOUT;
use crate::lifecycle::claim_lock::ClaimLock;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::outcome::{Outcome, Released};
use crate::lifecycle::ownership::foreign_owner;
use crate::lifecycle::release::{EXIT_TIMEOUT, scrub_and_free};
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::free_vfs::current_use;
use crate::nic::pf::{Pf, netdev_error};
use crate::nic::vf_config::read_settings;
use crate::policy::config::{OnLoss, OnPromiscOff, Scrub};

/// Cleans a VF that is in quarantine, has an unreadable or abandoned claim, or has no claim. The
/// VF is reset by FLR if it supports FLR, rebound and verified. A VF in use is not changed.
///
/// # Errors
/// [`LifecycleError::NoVf`]; when its PF does not exist, the PF's lock cannot be acquired, or the
/// claim cannot be written.
pub fn repair(host: &Host, vf: &str) -> Result<Released, Error> {
    if !is_pci_address(vf) {
        return Err(no_vf(vf));
    }
    let sysfs = Sysfs(host.sysfs.clone());
    let Some((pf, index)) = sysfs.pf_of(vf) else { return repair_vanished(host, vf) };
    let mut lock = lock_vf(host, vf, &pf)?;
    let claims = Claims::open(&host.run)?;
    let claim = match claims.get(vf) {
        Ok(Some(claim)) => {
            if !needs_repair(&claim) {
                return Ok(still_claimed(&claim));
            }
            claim
        }
        // A claim of a newer runvf, for example.
        Err(error) if !matches!(error, Error::Ledger(LedgerError::BadClaim { .. })) => {
            return Err(error);
        }
        unreadable_or_none => {
            let claim = Claim::for_repair(&sysfs, vf, &pf, index)?;
            if let Some(reason) = current_use(&sysfs, &Netlink::open()?, vf)? {
                return Ok(Released::of(&claim, Outcome::Left(reason)));
            }
            match unreadable_or_none {
                // An unreadable claim is replaced, not removed: the VF must have a claim at every
                // moment until it is clean.
                Err(_) => claims.overwrite(&claim)?,
                Ok(_) if claims.create(&claim)? => {}
                Ok(_) => {
                    let reason = "another process has just claimed it".to_owned();
                    return Ok(Released::of(&claim, Outcome::Left(reason)));
                }
            }
            claim
        }
    };
    if let Some(reason) = foreign_owner(&sysfs, &claim, EXIT_TIMEOUT)? {
        return Ok(Released::of(&claim, Outcome::Left(reason)));
    }
    let method = if sysfs.has_flr(vf) { Scrub::Flr } else { Scrub::Rebind };
    let outcome = scrub_and_free(host, claim.clone(), method, Event::Repaired, &mut lock)?;
    Ok(Released::of(&claim, outcome))
}

/// Removes the claim of a VF that no longer exists. The VF's settings do not exist any more either.
fn repair_vanished(host: &Host, vf: &str) -> Result<Released, Error> {
    let claims = Claims::open(&host.run)?;
    let seen = match claims.get(vf) {
        // No lock is taken: an unreadable claim does not name its PF.
        Err(Error::Ledger(LedgerError::BadClaim { .. }))
            if !Sysfs(host.sysfs.clone()).exists(vf) =>
        {
            claims.remove_unreadable(vf)?;
            let (vf, interface, container) = (vf.to_owned(), String::new(), String::new());
            return Ok(Released { vf, interface, container, outcome: Outcome::Clean });
        }
        seen => seen?.ok_or_else(|| no_vf(vf))?,
    };
    let mut lock = lock_vf(host, vf, &seen.pf)?;
    match claims.get(vf)? {
        Some(now) if now.nonce == seen.nonce && needs_repair(&now) => {
            let outcome = scrub_and_free(host, now, Scrub::Rebind, Event::Repaired, &mut lock)?;
            Ok(Released::of(&seen, outcome))
        }
        Some(now) => Ok(still_claimed(&now)),
        None => Err(no_vf(vf)),
    }
}

fn lock_vf(host: &Host, vf: &str, pf: &str) -> Result<ClaimLock<'static>, Error> {
    ClaimLock::take(&host.run, (vf, pf), LOCK_TIMEOUT, Instant::now() + LOCK_TIMEOUT)
}

fn no_vf(vf: &str) -> Error {
    Error::Lifecycle(LifecycleError::NoVf { vf: vf.to_owned() })
}

fn still_claimed(claim: &Claim) -> Released {
    let reason = format!("it belongs to container {}; see `runvfctl release`", claim.container);
    Released::of(claim, Outcome::Left(reason))
}

fn needs_repair(claim: &Claim) -> bool {
    matches!(claim.state, State::Quarantined { .. }) || claim.is_abandoned(Effort::Full)
}

/// Repairs every VF with a readable claim that is in quarantine or abandoned. An error on one VF is
/// the outcome for this VF.
///
/// # Errors
/// When the claims cannot be listed.
pub fn repair_all(host: &Host) -> Result<Vec<Released>, Error> {
    let claims = Claims::open(&host.run)?.all()?.into_iter().filter_map(Result::ok);
    let repair_claim = |claim: Claim| {
        let failed = |error: Error| Released::of(&claim, Outcome::Left(error.line()));
        repair(host, &claim.vf).unwrap_or_else(failed)
    };
    Ok(claims.filter(needs_repair).map(repair_claim).collect())
}

impl Claim {
    /// A claim for the repair of a VF without a readable claim. It holds what the kernel reports
    /// now; the VF's state before its last container is unknown.
    fn for_repair(sysfs: &Sysfs, vf: &str, pf: &str, index: u32) -> Result<Self, Error> {
        let pf_gone = || Error::Nic(NicError::PfGone { pf: pf.to_owned(), vf: vf.to_owned() });
        let worker = ProcessId::own().ok_or_else(pf_gone)?;
        let found_pf = Pf::at(sysfs, pf)
            .map_err(|problem| netdev_error(problem, pf, pf).unwrap_or_else(pf_gone))?;
        let usual_driver = driver(sysfs.driver(pf).as_deref()).vf.map(str::to_owned);
        let mut claim = Self {
            version: CLAIM_VERSION,
            vf: vf.to_owned(),
            index,
            pf: pf.to_owned(),
            pf_name: found_pf.name.clone(),
            state: State::Claiming,
            nonce: format!("repair-{:x}-{:x}", worker.pid, worker.start_time),
            boot_id: boot_id()?,
            container: String::new(),
            tenant: None,
            pod: None,
            interface: String::new(),
            netns: Netns::own()?.record()?,
            init: Some(worker),
            worker,
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            scrub: Scrub::default(),
            on_loss: OnLoss::default(),
            want: Settings::default(),
            before: VfSnapshot {
                driver: sysfs.driver(vf).or(usual_driver.filter(|_| sysfs.autoprobes(vf))),
                driver_override: sysfs.driver_override(vf),
                settings: Settings::default(),
                netdev: None,
            },
            park: false,
            carrier: None,
            checked: None,
            gap: None,
            network: None,
            idle_since: None,
            iommu_group: None,
            transmit: None,
            promisc_required: false,
            blind: BlindTotal::default(),
            on_promisc_off: OnPromiscOff::default(),
            joined: Vec::new(),
        };
        // Spoof check and rates are kept, because the operator may have set them. The scrub removes
        // VLAN and trust. It removes the MAC too, because it may be a container's.
        claim.want = read_settings(&Netlink::open()?, &found_pf, &claim)?;
        let mac = MacAddress::default();
        claim.before.settings = Settings { mac, ..claim.want };
        Ok(claim)
    }
}
