//! `runvfctl setup`: prepares PFs for sensors, at every boot.
//!
//! The order of the steps on a PF, and the reasons:
//!
//! 1. the private flag, because ice does not change it once a VF is promiscuous;
//! 2. up, because VFs of a PF that is down get no link (igb) or cannot be created (bnxt);
//! 3. promiscuous;
//! 4. the VFs;
//! 5. the udev rules for VFs that are older than the rules, so that network managers ignore these
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
use crate::ledger::claims::Claims;
use crate::nic::error::NicError;
use crate::nic::netdev::has_udev_named;
use crate::nic::pf::{NO_DRIVER, Pf};
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
        plan(&pf, &machine.pf_state(&pf)?, pool)
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
        let steps = plan(&pf, &machine.pf_state(&pf)?, pool)?;
        for step in &steps {
            machine.execute(&pf, step, pool)?;
        }
        Ok(steps)
    })
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
