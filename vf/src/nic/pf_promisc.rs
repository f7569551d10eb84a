//! What the promiscuity of VFs needs of their PF: finds that another tool has turned it off, and
//! turns it on again.

use crate::error::Error;
use crate::kernel::error::{KernelError, NetlinkError};
use crate::kernel::ethtool;
use crate::kernel::netlink::{Flags, Netlink};
use crate::kernel::sysfs::Sysfs;
use crate::nic::driver::{PromiscNeeds, TRUE_PROMISC, driver};
use crate::nic::error::NicError;
use crate::nic::find_link::wait_for_link;
use crate::nic::pf::Pf;
use crate::nic::promisc::{Facts, Obstacle, TrueFlag, find_obstacle};

/// A setting of a PF that is off, although its VFs need it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TurnedOff {
    switch: Switch,
    obstacle: Obstacle,
}

#[derive(Debug, PartialEq, Eq)]
enum Switch {
    /// The private flag [`TRUE_PROMISC`] of this netdev.
    TrueFlag(String),
    /// `ip link set PF promisc on`
    Promisc,
}

impl TurnedOff {
    /// Reads whether such a setting of the PF is off. `None`: it is on, the driver needs none, or the
    /// PF has no netdev in the host netns, so that nothing can be turned on.
    ///
    /// # Errors
    /// As [`Facts::read`], and when netlink cannot be asked.
    pub(crate) fn find(sysfs: &Sysfs, pci: &str) -> Result<Option<Self>, Error> {
        let Ok(pf) = Pf::at(sysfs, pci) else { return Ok(None) };
        let Some(link) = wait_for_link(&Netlink::open()?, pf.ifindex)? else { return Ok(None) };
        Ok(Self::in_facts(&pf.name, &Facts::read(sysfs, pci, link.flags.promisc)?))
    }

    fn in_facts(pf: &str, facts: &Facts) -> Option<Self> {
        let switch = match (driver(facts.driver.as_deref()).promisc, &facts.true_flag) {
            (PromiscNeeds::TrueFlag, Some(TrueFlag { state: Some(false), netdev })) => {
                Switch::TrueFlag(netdev.clone())
            }
            (PromiscNeeds::PfPromisc | PromiscNeeds::PfPromiscOnly, _) if !facts.promisc => {
                Switch::Promisc
            }
            _ => return None,
        };
        find_obstacle(pf, facts).map(|obstacle| Self { switch, obstacle })
    }

    /// Why the VFs of the PF may not be promiscuous.
    pub(crate) fn why(&self) -> &str {
        &self.obstacle.why
    }

    /// Turns the setting on, and reads it back.
    ///
    /// # Errors
    /// [`KernelError::Link`] when the driver refuses. [`NicError::NotPromiscuous`] when it reports
    /// success, but the setting is still off.
    pub(crate) fn turn_on(&self, sysfs: &Sysfs, pf: &Pf) -> Result<(), Error> {
        let failed = |action: &'static str, object: &str, source| {
            Error::Kernel(KernelError::Link { action, object: object.to_owned(), source })
        };
        match &self.switch {
            Switch::TrueFlag(netdev) => ethtool::set_private_flag(netdev, TRUE_PROMISC, true)
                .map_err(NetlinkError::Refused)
                .map_err(|source| failed("set a private flag of", netdev, source))?,
            Switch::Promisc => Netlink::open()?
                .add_flags(pf.ifindex, Flags { promisc: true, ..Flags::default() })
                .map_err(|source| failed("set the flags of PF", &pf.name, source))?,
        }
        match Self::find(sysfs, &pf.pci)? {
            None => Ok(()),
            Some(Self { obstacle: Obstacle { why, remedy: hint }, .. }) => {
                Err(Error::Nic(NicError::NotPromiscuous { pf: pf.name.clone(), why, hint }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(driver: &str, promisc: bool, flag: Option<bool>) -> Option<TurnedOff> {
        let true_flag = Some(TrueFlag { netdev: "p0".into(), state: flag });
        let facts = Facts { driver: Some(driver.into()), promisc, true_flag, ..Facts::default() };
        TurnedOff::in_facts("p1", &facts)
    }

    #[test]
    fn a_setting_is_found_only_where_the_driver_needs_it() {
        for driver in ["i40e", "ice"] {
            let off = found(driver, false, Some(false)).unwrap();
            assert_eq!(off.switch, Switch::TrueFlag("p0".into()));
            assert!(off.why().contains("vf-true-promisc-support of p0 is off"), "{off:?}");
            assert_eq!(found(driver, false, Some(true)), None);
            // An older driver without the flag: nothing can be turned on.
            assert_eq!(found(driver, false, None), None);
        }
        for driver in ["igb", "ixgbe"] {
            assert_eq!(found(driver, false, None).unwrap().switch, Switch::Promisc);
            assert_eq!(found(driver, true, None), None);
        }
        for driver in ["mlx5_core", "bnxt_en", "new"] {
            assert_eq!(found(driver, false, Some(false)), None);
        }
    }
}
