//! PFs are made ready for sensors, before any comes: `runvfctl setup`, at every boot.
//!
//! The order on a PF, and why: the private flag first, since ice does not change it once a VF is promiscuous; then up, since the
//! VFs of a PF that is down get no link (igb) or are not even made (bnxt); then promiscuous; then the VFs; and network managers are
//! kept off those that were there before (`udev`). Each is written only
//! where it is missing, and read back. All of it is planned before the first is done, so that a PF which cannot be made ready
//! is left as it is.

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::Error;
use crate::host::Host;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::ethtool;
use crate::kernel::netlink::{Flags, Netlink};
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::Claims;
use crate::ledger::lock::{PfLock, lock_pf};
use crate::nic::create_vfs::{create_vfs, wanted};
use crate::nic::driver::{PromiscBy, TRUE_PROMISC, driver};
use crate::nic::error::NicError;
use crate::nic::netdev::{UDEV_TIMEOUT, has_udev_named};
use crate::nic::pf::{NO_DRIVER, Pf};
use crate::nic::promisc::{Facts, Obstacle, TrueFlag, obstacle, same_card};
use crate::nic::udev::{Untold, has_rules, is_told, untold};
use crate::operator::error::OperatorError;
use crate::policy::config::Config;
use crate::policy::config::{Pool, Promisc};

/// Between two looks for a PF whose driver is still loading.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// One thing to do to a PF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Turn on a private flag of this interface, which may be another function of the card.
    Flag {
        on: String,
        flag: &'static str,
    },
    Up,
    Promisc,
    Vfs {
        count: usize,
    },
    /// Have udev go through its rules for VFs that were there before these.
    Tell {
        count: usize,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag { on, flag } => write!(formatter, "{flag} of {on} on"),
            Self::Up => write!(formatter, "up"),
            Self::Promisc => write!(formatter, "promiscuous"),
            Self::Vfs { count } => write!(formatter, "{count} VFs"),
            Self::Tell { count } => write!(formatter, "network managers off {count} VFs"),
        }
    }
}

/// What became of a PF: what was done to it (or would be), or why nothing was or not all.
#[derive(Debug)]
pub struct PfSetup {
    /// As the configuration names it.
    pub pf: String,
    pub pool: String,
    pub result: Result<Vec<Step>, Error>,
}

/// What [`setup`] would do now. Touches nothing and waits for nothing.
///
/// # Errors
/// As [`Config::load`]; when the kernel or the claims cannot be asked.
pub fn plan_setup(host: &Host) -> Result<Vec<PfSetup>, Error> {
    let machine = Machine::open(host, Claims::look(&host.run))?;
    each(host, |named, pool| {
        let pf = Pf::find(&machine.sysfs, named, pool)?;
        plan(&pf, &machine.have(&pf)?, pool)
    })
}

/// Makes every PF of the configuration ready. One that cannot be does not keep the others from it.
///
/// At boot drivers load while this runs, so PFs that are not there yet are waited for: `wait` is for all of them together.
///
/// # Errors
/// As [`plan_setup`].
pub fn setup(host: &Host, wait: Duration) -> Result<Vec<PfSetup>, Error> {
    let machine = Machine::open(host, Claims::open(&host.run)?)?;
    let deadline = Instant::now() + wait;
    each(host, |named, pool| {
        let pf = find_until(&machine.sysfs, named, pool, deadline)?;
        let _locks = machine.lock_card(host, &pf)?;
        let steps = plan(&pf, &machine.have(&pf)?, pool)?;
        for step in &steps {
            machine.perform(&pf, step, pool)?;
        }
        Ok(steps)
    })
}

fn each(
    host: &Host,
    act: impl Fn(&str, &Pool) -> Result<Vec<Step>, Error>,
) -> Result<Vec<PfSetup>, Error> {
    let config = Config::load(host)?;
    let all = config.pools.iter().flat_map(|pool| pool.pfs.iter().map(move |pf| (pf, pool)));
    Ok(all
        .map(|(pf, pool)| PfSetup {
            pf: pf.clone(),
            pool: pool.name.clone(),
            result: act(pf, pool),
        })
        .collect())
}

/// A PF under its last name: the kernel's first one may be another's a moment later.
fn find_until(sysfs: &Sysfs, named: &str, pool: &Pool, deadline: Instant) -> Result<Pf, Error> {
    loop {
        match Pf::find(sysfs, named, pool) {
            Ok(pf) if has_udev_named(pf.ifindex) || Instant::now() >= deadline => return Ok(pf),
            Err(error) if !may_come(&error) || Instant::now() >= deadline => {
                return Err(error);
            }
            _ => thread::sleep(POLL_INTERVAL),
        }
    }
}

/// Whether a driver that is still loading would mend it.
fn may_come(error: &Error) -> bool {
    match error {
        Error::Nic(NicError::NoPf { .. }) => true,
        Error::Nic(NicError::WrongDriver { found, .. }) => found == NO_DRIVER,
        _ => false,
    }
}

/// A PF as it is.
#[derive(Debug, Default)]
struct Have {
    up: bool,
    vfs: usize,
    facts: Facts,
    /// A VF of the same card that somebody has.
    claimed: Option<String>,
    untold: Vec<Untold>,
}

fn plan(pf: &Pf, have: &Have, pool: &Pool) -> Result<Vec<Step>, Error> {
    let wanted = wanted(pf, pool);
    if pool.vfs.is_some() && have.vfs != 0 && have.vfs != wanted {
        let (pf, pool) = (pf.name.clone(), pool.name.clone());
        return Err(Error::Operator(OperatorError::VfCountDiffers {
            pf,
            pool,
            have: have.vfs,
            wanted,
        }));
    }
    let mut steps = Vec::new();
    let mut then = have.facts.clone();
    if let Some(TrueFlag { on, state: Some(state @ false) }) = &mut then.true_flag {
        match (&have.claimed, pool.promisc) {
            (None, _) => {
                *state = true;
                steps.push(Step::Flag { on: on.clone(), flag: TRUE_PROMISC });
            }
            (Some(vf), Promisc::Require) => {
                let (on, vf) = (on.clone(), vf.clone());
                return Err(Error::Operator(OperatorError::FlagInUse {
                    flag: TRUE_PROMISC,
                    on,
                    vf,
                }));
            }
            (Some(_), Promisc::BestEffort) => {}
        }
    }
    if !have.up {
        steps.push(Step::Up);
    }
    let by = driver(have.facts.driver.as_deref()).promisc;
    let needed = matches!(by, PromiscBy::PfPromisc | PromiscBy::PfAlone);
    if !have.facts.promisc && (needed || pool.pf_promisc) {
        then.promisc = true;
        steps.push(Step::Promisc);
    }
    if have.vfs == 0 {
        steps.push(Step::Vfs { count: wanted });
    }
    if !have.untold.is_empty() {
        steps.push(Step::Tell { count: have.untold.len() });
    }
    match obstacle(&pf.name, &then) {
        Some(Obstacle { why, mend: hint }) if pool.promisc == Promisc::Require => {
            Err(Error::Nic(NicError::NotPromiscuous { pf: pf.name.clone(), why, hint }))
        }
        _ => Ok(steps),
    }
}

/// Turns a private flag of an interface's driver on or off, and looks whether it is.
///
/// # Errors
/// [`KernelError::Link`] when the driver has no such flag or refuses (ice does while a VF is promiscuous); [`OperatorError::PfReadbackDiffers`] when it
/// says yes and does not do it.
pub fn set_private_flag(interface: &str, flag: &str, on: bool) -> Result<(), Error> {
    let failed = |errno| {
        Error::Kernel(KernelError::Link {
            action: "set a private flag of",
            object: interface.to_owned(),
            source: NetlinkError::Refused(errno),
        })
    };
    ethtool::set_private_flag(interface, flag, on).map_err(failed)?;
    let flags = ethtool::private_flags(interface).map_err(failed)?;
    match flags.iter().any(|(name, state)| name == flag && *state == on) {
        true => Ok(()),
        false => {
            let wanted = format!("{flag} {}", if on { "on" } else { "off" });
            Err(Error::Operator(OperatorError::PfReadbackDiffers {
                pf: interface.to_owned(),
                wanted,
            }))
        }
    }
}

struct Machine {
    sysfs: Sysfs,
    netlink: Netlink,
    claims: Claims,
}

impl Machine {
    fn open(host: &Host, claims: Claims) -> Result<Self, Error> {
        Ok(Self { sysfs: Sysfs(host.sysfs.clone()), netlink: Netlink::open()?, claims })
    }

    /// The PFs of the same card, by address.
    fn card(&self, pf: &Pf) -> Vec<String> {
        let all = self.sysfs.sriov_netdevs().into_iter().map(|(pci, _)| pci);
        all.filter(|pci| same_card(pci, &pf.pci)).collect()
    }

    /// A flag may count for the whole card. Nobody else holds two of these locks at once, and everybody here takes them in the
    /// same order.
    fn lock_card(&self, host: &Host, pf: &Pf) -> Result<Vec<PfLock>, Error> {
        self.card(pf).iter().map(|pci| lock_pf(&host.run, pci)).collect()
    }

    fn have(&self, pf: &Pf) -> Result<Have, Error> {
        let link = self.netlink.link(pf.ifindex)?.unwrap_or_default();
        let vfs = self.card(pf).into_iter().flat_map(|pci| self.sysfs.virtfns(&pci));
        Ok(Have {
            up: link.flags.up,
            vfs: self.sysfs.virtfns(&pf.pci).len(),
            facts: Facts::of(&self.sysfs, &pf.pci, link.flags.promisc)?,
            claimed: vfs.map(|(_, vf)| vf).find(|vf| self.claims.is_taken(vf)),
            untold: self.untold(pf),
        })
    }

    /// Does it, and looks whether it is done.
    fn perform(&self, pf: &Pf, step: &Step, pool: &Pool) -> Result<(), Error> {
        let done = match step {
            Step::Vfs { .. } => return create_vfs(&self.sysfs, pf, pool).map(drop),
            Step::Flag { on, flag } => return set_private_flag(on, flag, true),
            Step::Tell { .. } => self.tell(pf)?,
            Step::Up => self.raise(pf, Flags { up: true, ..Flags::default() })?.up,
            Step::Promisc => self.raise(pf, Flags { promisc: true, ..Flags::default() })?.promisc,
        };
        match done {
            true => Ok(()),
            false => Err(Error::Operator(OperatorError::PfReadbackDiffers {
                pf: pf.name.clone(),
                wanted: step.to_string(),
            })),
        }
    }

    /// Without the rules udev has nothing to go through.
    fn untold(&self, pf: &Pf) -> Vec<Untold> {
        let root = Path::new("/");
        let all = if has_rules(root) { untold(root, &self.sysfs, &pf.pci) } else { Vec::new() };
        all.into_iter().filter(|untold| !self.claims.is_taken(&untold.vf)).collect()
    }

    /// Whether udev has written down of all that they are runvf's. It is done with each in its own time.
    fn tell(&self, pf: &Pf) -> Result<bool, Error> {
        let all = self.untold(pf);
        for Untold { vf, name, .. } in &all {
            self.sysfs.announce(vf, name)?;
        }
        let deadline = Instant::now() + UDEV_TIMEOUT;
        let told = |one: &Untold| is_told(Path::new("/"), one.ifindex) == Some(true);
        while !all.iter().all(told) {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(true)
    }

    fn raise(&self, pf: &Pf, flags: Flags) -> Result<Flags, Error> {
        self.netlink.add_flags(pf.ifindex, flags).map_err(|source| {
            Error::Kernel(KernelError::Link {
                action: "set the flags of PF",
                object: pf.name.clone(),
                source,
            })
        })?;
        Ok(self.netlink.link(pf.ifindex)?.unwrap_or_default().flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::config::{Carrier, OnLoss, Profile, Scrub};

    fn pf() -> Pf {
        Pf { pci: "0000:41:00.1".into(), name: "p1".into(), ifindex: 7, total: 64 }
    }

    fn pool(vfs: Option<usize>, promisc: Promisc) -> Pool {
        Pool {
            name: "sensors".into(),
            pfs: vec!["p1".into()],
            driver: None,
            vfs,
            carrier: Carrier::Require,
            scrub: Scrub::Rebind,
            on_loss: OnLoss::Stop,
            promisc,
            pf_promisc: false,
            profile: Profile::Sensor,
            mtu: None,
        }
    }

    fn have(driver: &str, flag: Option<bool>) -> Have {
        let true_flag = flag.map(|state| TrueFlag { on: "p0".into(), state: Some(state) });
        let facts = Facts { driver: Some(driver.into()), true_flag, ..Facts::default() };
        Have { facts, ..Have::default() }
    }

    fn planned(have: &Have, pool: &Pool) -> Result<String, String> {
        let steps = plan(&pf(), have, pool).map_err(|error| error.line())?;
        Ok(steps.iter().map(Step::to_string).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn the_flag_comes_first_and_the_vfs_last() {
        let pool = pool(Some(8), Promisc::Require);
        assert_eq!(
            planned(&have("i40e", Some(false)), &pool).unwrap(),
            "vf-true-promisc-support of p0 on, up, 8 VFs"
        );
        assert_eq!(planned(&have("ixgbe", None), &pool).unwrap(), "up, promiscuous, 8 VFs");
        assert_eq!(planned(&have("mlx5_core", None), &pool).unwrap(), "up, 8 VFs");
    }

    #[test]
    fn udev_is_asked_about_what_it_has_not_been_told_of() {
        let one = |ifindex| Untold { vf: "0000:41:02.0".into(), name: "v0".into(), ifindex };
        let have = Have { vfs: 8, untold: vec![one(9), one(10)], ..have("mlx5_core", None) };
        let told = planned(&have, &pool(Some(8), Promisc::Require)).unwrap();
        assert_eq!(told, "up, network managers off 2 VFs");
    }

    #[test]
    fn what_is_ready_is_left_alone() {
        let mut have = have("ixgbe", None);
        (have.up, have.vfs, have.facts.promisc) = (true, 8, true);
        assert_eq!(planned(&have, &pool(Some(8), Promisc::Require)).unwrap(), "");
        // As many as there can be were asked for only where there are none.
        assert_eq!(planned(&have, &pool(None, Promisc::Require)).unwrap(), "");
    }

    #[test]
    fn a_count_is_never_changed() {
        let have = Have { vfs: 4, ..have("bnxt_en", None) };
        assert_eq!(
            planned(&have, &pool(Some(8), Promisc::Require)).unwrap_err(),
            "PF p1 has 4 VFs, but pool `sensors` requires 8; stop its sensors, `echo 0 > \
             /sys/class/net/p1/device/sriov_numvfs` and run `runvfctl setup` again, or set `vfs = 4` in the pool"
        );
        // More than the PF can have is all that it can have.
        let all = Have { vfs: 64, ..have };
        assert_eq!(planned(&all, &pool(Some(100), Promisc::Require)).unwrap(), "up");
    }

    #[test]
    fn a_flag_is_not_flipped_under_a_sensor() {
        let have = Have { claimed: Some("0000:41:02.0".into()), ..have("ice", Some(false)) };
        assert_eq!(
            planned(&have, &pool(None, Promisc::Require)).unwrap_err(),
            "private flag `vf-true-promisc-support` of p0 is off, and VF 0000:41:02.0 of that card is claimed; stop the \
             sensors on that card and run `runvfctl setup` again; `runvfctl status` lists them"
        );
        assert_eq!(planned(&have, &pool(None, Promisc::BestEffort)).unwrap(), "up, 64 VFs");
    }

    #[test]
    fn a_pf_whose_vfs_would_see_nothing_is_left_as_it_is() {
        let told = planned(&have("sfc", None), &pool(None, Promisc::Require)).unwrap_err();
        assert!(told.starts_with("a VF of PF p1 would not be promiscuous: "), "{told}");
        assert_eq!(
            planned(&have("sfc", None), &pool(None, Promisc::BestEffort)).unwrap(),
            "up, 64 VFs"
        );
    }

    #[test]
    fn a_promiscuous_pf_may_be_asked_for() {
        let pool = Pool { pf_promisc: true, ..pool(Some(2), Promisc::Require) };
        assert_eq!(planned(&have("mlx5_core", None), &pool).unwrap(), "up, promiscuous, 2 VFs");
    }
}
