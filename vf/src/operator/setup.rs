//! `runvfctl setup`: prepares PFs for sensors, at every boot.
//!
//! The order of the steps on a PF, and the reasons:
//!
//! 1. the private flag, because ice does not change it once a VF is promiscuous;
//! 2. no automatic binding of VFs, if free VFs rest parked, so that new VFs are never bound;
//! 3. up, because VFs of a PF that is down get no link (igb) or cannot be created (bnxt);
//! 4. promiscuous;
//! 5. the VFs;
//! 6. free VFs that have a driver are parked;
//! 7. the udev rules for VFs that are older than the rules, so that network managers ignore these
//!    VFs ([`crate::nic::udev`]).
//!
//! A setting is written only if it differs, and then read back. All steps are planned before the
//! first is executed, so a PF that cannot be prepared is not changed.

mod execute;
mod plan;

use std::thread;
use std::time::{Duration, Instant};

pub use self::execute::set_private_flag;
pub use self::plan::Step;

use self::execute::Machine;
use self::plan::plan;
use crate::error::Error;
use crate::host::Host;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::sysfs::pf_netdev::NoPfNetdev;
use crate::ledger::claims::Claims;
use crate::ledger::lock::lock_pf;
use crate::ledger::parked_pfs::ParkedPfs;
use crate::nic::error::NicError;
use crate::nic::netdev::has_udev_named;
use crate::nic::pf::{NO_DRIVER, Pf, netdev_error};
use crate::operator::error::OperatorError;
use crate::policy::config::{Config, Pool};

/// The time between two checks for a PF whose driver is still loading.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The result for one PF: the steps that were executed (or would be), or the error that stopped the
/// setup of this PF.
#[derive(Debug)]
pub struct PfSetup {
    /// The name in the configuration.
    pub pf: String,
    pub pool: String,
    pub result: Result<Vec<Step>, Error>,
}

/// Returns the steps that [`setup`] would execute now. Changes nothing and does not wait.
///
/// # Errors
/// As [`Config::load`]; when netlink cannot be opened.
pub fn plan_setup(host: &Host) -> Result<Vec<PfSetup>, Error> {
    let machine = Machine::open(host, Claims::read_only(&host.run))?;
    for_each_pf(host, |name, pool| {
        let pf = Pf::find(&machine.sysfs, name, pool)?;
        plan(&pf, &machine.pf_state(&pf, pool)?, pool)
    })
}

/// Prepares every PF of the configuration. The failure of one PF does not stop the others.
///
/// At boot, drivers may still be loading. `wait` is the timeout for all PFs together to appear.
///
/// # Errors
/// As [`plan_setup`]; when the claims cannot be opened.
pub fn setup(host: &Host, wait: Duration) -> Result<Vec<PfSetup>, Error> {
    let machine = Machine::open(host, Claims::open(&host.run)?)?;
    let deadline = Instant::now() + wait;
    for_each_pf(host, |name, pool| {
        let pf = find_until(&machine.sysfs, name, pool, deadline)?;
        let _locks = machine.lock_card(host, &pf)?;
        let steps = plan(&pf, &machine.pf_state(&pf, pool)?, pool)?;
        for step in &steps {
            machine.execute(&pf, step)?;
        }
        Ok(steps)
    })
}

/// Whether [`undo_setup`] has something to do. `true` also if the records cannot be listed.
pub fn has_parked_pfs(host: &Host) -> bool {
    ParkedPfs::of(&host.run).all().map_or(true, |pfs| !pfs.is_empty())
}

/// Undoes what [`setup`] has done to park VFs: the kernel binds drivers to VFs by itself again, and
/// all free VFs of these PFs get their driver. VFs in use get theirs at their release. Reads no
/// configuration, because it may be gone.
///
/// # Errors
/// When netlink, the claims or the records of PFs cannot be opened.
pub fn undo_setup(host: &Host) -> Result<Vec<PfSetup>, Error> {
    let machine = Machine::open(host, Claims::open(&host.run)?)?;
    let undo = |pci: &String| {
        let (pf, result) = match Pf::at(&machine.sysfs, pci) {
            Ok(pf) => (pf.name.clone(), undo_pf(host, &machine, &pf)),
            // Its driver was unbound, or it has left this namespace. A new PF device binds its VFs.
            Err(_) if !machine.sysfs.exists(pci) => {
                (pci.clone(), machine.parked.remove(pci).map(|()| Vec::new()))
            }
            Err(problem) => (pci.clone(), Err(no_netdev(problem, pci))),
        };
        PfSetup { pf, pool: String::new(), result }
    };
    Ok(machine.parked.all()?.iter().map(undo).collect())
}

fn undo_pf(host: &Host, machine: &Machine, pf: &Pf) -> Result<Vec<Step>, Error> {
    let _lock = lock_pf(&host.run, &pf.pci)?;
    let mut steps = Vec::new();
    if !machine.sysfs.pf_autoprobes(&pf.pci) {
        steps.push(Step::Autoprobe { on: true });
    }
    match machine.unbound_free_vfs(pf)?.len() {
        0 => {}
        count => steps.push(Step::Bind { count }),
    }
    steps.iter().try_for_each(|step| machine.execute(pf, step))?;
    machine.parked.remove(&pf.pci)?;
    Ok(steps)
}

fn no_netdev(problem: NoPfNetdev, pci: &str) -> Error {
    netdev_error(problem, pci, pci)
        .unwrap_or_else(|| Error::Operator(OperatorError::UnknownPf { pf: pci.to_owned() }))
}

/// Calls `action` for every PF of the configuration.
fn for_each_pf(
    host: &Host,
    action: impl Fn(&str, &Pool) -> Result<Vec<Step>, Error>,
) -> Result<Vec<PfSetup>, Error> {
    let config = Config::load(host)?;
    let all = config.pools.iter().flat_map(|pool| pool.pfs.iter().map(move |pf| (pf, pool)));
    Ok(all
        .map(|(pf, pool)| PfSetup {
            pf: pf.clone(),
            pool: pool.name.clone(),
            result: action(pf, pool),
        })
        .collect())
}

/// Waits for a PF until udev has given its netdev the final name. The kernel's first name for a
/// netdev can belong to another netdev later.
fn find_until(sysfs: &Sysfs, name: &str, pool: &Pool, deadline: Instant) -> Result<Pf, Error> {
    loop {
        match Pf::find(sysfs, name, pool) {
            Ok(pf) if has_udev_named(pf.ifindex) || Instant::now() >= deadline => return Ok(pf),
            Err(error) if !may_resolve_after_driver_load(&error) || Instant::now() >= deadline => {
                return Err(error);
            }
            _ => thread::sleep(POLL_INTERVAL),
        }
    }
}

/// Whether the error can disappear once a driver has loaded.
fn may_resolve_after_driver_load(error: &Error) -> bool {
    match error {
        Error::Nic(NicError::NoPf { .. } | NicError::PfInOtherNetns { .. }) => true,
        Error::Nic(NicError::WrongDriver { found, .. }) => found == NO_DRIVER,
        _ => false,
    }
}
