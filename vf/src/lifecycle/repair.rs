//! A VF that nobody may use until somebody has looked at it: brought back by the strongest means there are.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::host::Host;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::process::{ProcessId, boot_id};
use crate::kernel::sysfs::{Sysfs, is_pci_address};
use crate::ledger::audit::Event;
use crate::ledger::claim::{Before, Claim, Claims, State};
use crate::ledger::error::LedgerError;
use crate::ledger::lock::lock_pf;
use crate::lifecycle::error::LifecycleError;
use crate::lifecycle::ownership::foreign_owner;
use crate::lifecycle::release::{EXIT_TIMEOUT, Outcome, Released, give_back};
use crate::nic::driver::driver;
use crate::nic::error::NicError;
use crate::nic::free_vfs::in_use;
use crate::nic::pf::Pf;
use crate::nic::vf_config::read;
use crate::policy::config::{OnLoss, Scrub};

/// Cleans a VF that is in quarantine, whose claim cannot be read, or that has no claim: function-level reset where it has one,
/// rebind, verify. A VF that somebody uses is left alone.
///
/// # Errors
/// [`LifecycleError::NoVf`]; when its PF is gone, its lock cannot be had, or the record cannot be written.
pub fn repair(host: &Host, vf: &str) -> Result<Released, Error> {
    if !is_pci_address(vf) {
        return Err(Error::Lifecycle(LifecycleError::NoVf { vf: vf.to_owned() }));
    }
    let sysfs = Sysfs(host.sysfs.clone());
    let Some((pf, index)) = sysfs.pf_of(vf) else { return repair_vanished(host, vf) };
    let _lock = lock_pf(&host.run, &pf)?;
    let claims = Claims::open(&host.run)?;
    let claim = match claims.get(vf) {
        Ok(Some(claim)) => {
            if !is_broken(&claim) {
                let why = format!("container {} has it; see `runvfctl release`", claim.container);
                return Ok(Released::of(&claim, Outcome::Left(why)));
            }
            claim
        }
        unreadable_or_none => {
            let claim = Claim::for_repair(&sysfs, vf, &pf, index)?;
            if let Some(why) = in_use(&sysfs, &Netlink::open()?, vf)? {
                return Ok(Released::of(&claim, Outcome::Left(why)));
            }
            match unreadable_or_none {
                // At no moment is there none: what is put in its place is a claim of ours.
                Err(_) => claims.overwrite(&claim)?,
                Ok(_) if claims.create(&claim)? => {}
                Ok(_) => {
                    let why = "somebody has just claimed it".to_owned();
                    return Ok(Released::of(&claim, Outcome::Left(why)));
                }
            }
            claim
        }
    };
    if let Some(why) = foreign_owner(&sysfs, &claim, EXIT_TIMEOUT)? {
        return Ok(Released::of(&claim, Outcome::Left(why)));
    }
    let how = if sysfs.has_flr(vf) { Scrub::Flr } else { Scrub::Rebind };
    let outcome = give_back(host, claim.clone(), how, Event::Repaired)?;
    Ok(Released::of(&claim, outcome))
}

/// Of a VF that is not on this machine any more, with all that was set on it, there is nothing to clean but its claim.
fn repair_vanished(host: &Host, vf: &str) -> Result<Released, Error> {
    let none = || Error::Lifecycle(LifecycleError::NoVf { vf: vf.to_owned() });
    let claims = Claims::open(&host.run)?;
    let seen = match claims.get(vf) {
        // Nor does it say under which PF's lock.
        Err(Error::Ledger(LedgerError::BadClaim { .. }))
            if !Sysfs(host.sysfs.clone()).exists(vf) =>
        {
            claims.clear(vf)?;
            let (vf, interface, container) = (vf.to_owned(), String::new(), String::new());
            return Ok(Released { vf, interface, container, outcome: Outcome::Clean });
        }
        seen => seen?.ok_or_else(none)?,
    };
    let _lock = lock_pf(&host.run, &seen.pf)?;
    match claims.get(vf)? {
        Some(now) if now.nonce == seen.nonce && is_broken(&now) => {
            let outcome = give_back(host, now, Scrub::Rebind, Event::Repaired)?;
            Ok(Released::of(&seen, outcome))
        }
        Some(now) => {
            let why = format!("container {} has it; see `runvfctl release`", now.container);
            Ok(Released::of(&now, Outcome::Left(why)))
        }
        None => Err(none()),
    }
}

fn is_broken(claim: &Claim) -> bool {
    matches!(claim.state, State::Quarantined { .. }) || claim.is_abandoned()
}

/// Repairs every VF that is in quarantine. What goes wrong with one is that one's outcome.
///
/// # Errors
/// When the claims cannot be listed.
pub fn repair_all(host: &Host) -> Result<Vec<Released>, Error> {
    let all = Claims::open(&host.run)?.all()?.into_iter().filter_map(Result::ok);
    let one = |claim: Claim| {
        let failed = |error: Error| Released::of(&claim, Outcome::Left(error.line()));
        repair(host, &claim.vf).unwrap_or_else(failed)
    };
    Ok(all.filter(is_broken).map(one).collect())
}

impl Claim {
    /// What is known of a VF that nobody has a readable claim on: the kernel's word, and nothing of how it was before.
    fn for_repair(sysfs: &Sysfs, vf: &str, pf: &str, index: u32) -> Result<Self, Error> {
        let gone = || Error::Nic(NicError::PfGone { pf: pf.to_owned(), vf: vf.to_owned() });
        let worker = ProcessId::own().ok_or_else(gone)?;
        let found = Pf::at(sysfs, pf).ok_or_else(gone)?;
        let usual = driver(sysfs.driver(pf).as_deref()).vf.map(str::to_owned);
        let mut claim = Self {
            vf: vf.to_owned(),
            index,
            pf: pf.to_owned(),
            pf_name: found.name.clone(),
            state: State::Claiming,
            nonce: format!("repair-{:x}-{:x}", worker.pid, worker.start_time),
            boot_id: boot_id()?,
            container: String::new(),
            tenant: None,
            interface: String::new(),
            netns: Netns::own()?.record()?,
            init: worker,
            worker,
            since: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            scrub: Scrub::default(),
            on_loss: OnLoss::default(),
            want: crate::kernel::vf_settings::Settings::default(),
            before: Before {
                driver: sysfs.driver(vf).or(usual.filter(|_| sysfs.autoprobes(vf))),
                driver_override: None,
                settings: crate::kernel::vf_settings::Settings::default(),
                netdev: None,
            },
        };
        // Spoof check and rates are as the operator has them. VLAN and trust are what is to be cleaned, and so is an address:
        // nobody says any more that it was not a container's.
        claim.want = read(&Netlink::open()?, &found, &claim)?;
        let mac = crate::kernel::mac::MacAddress::default();
        claim.before.settings = crate::kernel::vf_settings::Settings { mac, ..claim.want };
        Ok(claim)
    }
}
