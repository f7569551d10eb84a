//! Decides whether a trusted VF of a PF can be promiscuous: [`Facts`] holds what the kernel
//! reports, [`find_obstacle`] decides.
//!
//! The state of the VF proves nothing: i40e and ice report success to a VF that asks for
//! promiscuity and do not grant it.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::kernel::error::{KernelError, NetlinkError};
use crate::kernel::ethtool;
use crate::kernel::sysfs::Sysfs;
use crate::nic::driver::{PromiscNeeds, TRUE_PROMISC, driver};
use crate::nic::error::NicError;
use crate::nic::pf::Pf;
use crate::policy::config::{Pool, Promisc};
use crate::policy::request::Interface;

/// PCI device id of the VFs of an 82599 (`IXGBE_DEV_ID_82599_VF`). The VFs of the X540 and later
/// NICs have other ids.
const VF_82599: &str = "10ed";

/// The private flag `vf-true-promisc-support` of a card or a PF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrueFlag {
    /// Name of the netdev that has the flag for this PF.
    #[serde(rename = "on")]
    pub(crate) netdev: String,
    /// `None`: the driver has no such flag.
    pub(crate) state: Option<bool>,
}

/// The facts about a PF that [`find_obstacle`] needs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) driver: Option<String>,
    /// PCI device id of its VFs, hexadecimal.
    pub(crate) vf_device: Option<String>,
    /// Whether the PF has the flag `promisc` (`ip link set PF promisc on`). The promiscuity that a
    /// running tcpdump asks for does not count, because it ends with that tcpdump.
    pub(crate) promisc: bool,
    /// `None`: the driver needs no flag, or the function with the flag has no netdev in the host
    /// netns.
    pub(crate) true_flag: Option<TrueFlag>,
}

/// The reason why a VF cannot be promiscuous, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) why: String,
    pub(crate) remedy: String,
}

/// Returns why a trusted VF of the PF cannot be promiscuous. `None`: it can.
pub(crate) fn find_obstacle(pf: &str, facts: &Facts) -> Option<Obstacle> {
    let obstacle = |why: String, remedy: String| Some(Obstacle { why, remedy });
    let needs_pf = |why: &str| {
        obstacle(why.to_owned(), format!("run `runvfctl setup` or `ip link set {pf} promisc on`"))
    };
    let name = facts.driver.as_deref().unwrap_or("none");
    match driver(facts.driver.as_deref()).promisc {
        PromiscNeeds::Trust => None,
        PromiscNeeds::TrueFlag => match &facts.true_flag {
            Some(TrueFlag { state: Some(true), .. }) => None,
            Some(TrueFlag { state: Some(false), netdev }) => obstacle(
                format!("the private flag {TRUE_PROMISC} of {netdev} is off"),
                format!(
                    "stop the sensors on that card and run `runvfctl setup` or \
                     `ethtool --set-priv-flags {netdev} {TRUE_PROMISC} on`"
                ),
            ),
            Some(TrueFlag { state: None, netdev }) => obstacle(
                format!("the driver {name} of {netdev} has no private flag {TRUE_PROMISC}"),
                "use a newer kernel".to_owned(),
            ),
            None => obstacle(
                format!(
                    "function 0 of its card, which has the private flag {TRUE_PROMISC}, has no \
                     netdev in the host netns"
                ),
                format!("bind function 0 to the driver {name}"),
            ),
        },
        PromiscNeeds::PfPromisc if facts.vf_device.as_deref() == Some(VF_82599) => obstacle(
            "the VFs of an 82599 cannot be promiscuous".to_owned(),
            "use an X540 or newer".to_owned(),
        ),
        PromiscNeeds::PfPromisc if !facts.promisc => {
            needs_pf("ixgbe refuses promiscuous VFs while the PF itself is not promiscuous")
        }
        PromiscNeeds::PfPromiscOnly if !facts.promisc => {
            needs_pf("igb delivers unknown unicast to VFs only while the PF itself is promiscuous")
        }
        PromiscNeeds::PfPromisc | PromiscNeeds::PfPromiscOnly => None,
        PromiscNeeds::Unknown => obstacle(
            format!("runvf does not know whether VFs of the driver {name} can be promiscuous"),
            "use a NIC with the driver igb, ixgbe, i40e, ice, mlx5_core or bnxt_en".to_owned(),
        ),
    }
}

impl Facts {
    /// Reads the facts about a PF. The caller knows `promisc` from the link's flags.
    ///
    /// # Errors
    /// [`KernelError::Link`] when the driver does not report its private flags.
    pub(crate) fn read(sysfs: &Sysfs, pci: &str, promisc: bool) -> Result<Self, Error> {
        let name = sysfs.driver(pci);
        let true_flag = match driver(name.as_deref()).promisc {
            PromiscNeeds::TrueFlag => read_true_flag(sysfs, pci)?,
            _ => None,
        };
        Ok(Self { vf_device: sysfs.vf_device(pci), driver: name, promisc, true_flag })
    }
}

/// Reads the private flag that counts for a PF.
///
/// i40e has one flag per card, on the card's first PF; it counts for all PFs of the card. ice has
/// one flag per PF.
///
/// # Errors
/// [`KernelError::Link`].
pub(crate) fn read_true_flag(sysfs: &Sysfs, pci: &str) -> Result<Option<TrueFlag>, Error> {
    let mut found = None;
    for function in [pci, &function_0(pci)] {
        let Ok((netdev, _)) = sysfs.pf_netdev(function) else {
            found = None;
            continue;
        };
        let flags = ethtool::private_flags(&netdev).map_err(|errno| {
            Error::Kernel(KernelError::Link {
                action: "read the private flags of",
                object: netdev.clone(),
                source: NetlinkError::Refused(errno),
            })
        })?;
        let state = flags.iter().find(|(name, _)| name == TRUE_PROMISC).map(|(_, state)| *state);
        found = Some(TrueFlag { netdev, state });
        if state.is_some() {
            break;
        }
    }
    Ok(found)
}

/// Returns the PCI address of the card's first function.
fn function_0(pci: &str) -> String {
    format!("{}.0", pci.split('.').next().unwrap_or(pci))
}

/// Whether two functions belong to the same card.
pub(crate) fn same_card(one: &str, other: &str) -> bool {
    function_0(one) == function_0(other)
}

/// Checks that a VF of the PF can do what the interface requests: the VLAN protocol, and
/// promiscuity. Changes nothing.
///
/// # Errors
/// [`NicError::ProtoUnsupported`]. [`NicError::NotPromiscuous`], unless the pool has `promisc =
/// "best-effort"`.
pub(crate) fn check_pf(
    sysfs: &Sysfs,
    pf: &Pf,
    promisc: bool,
    interface: &Interface,
    pool: &Pool,
) -> Result<(), Error> {
    let name = sysfs.driver(&pf.pci);
    if !driver(name.as_deref()).supports_proto(interface.proto) {
        let driver = name.unwrap_or_default();
        return Err(Error::Nic(NicError::ProtoUnsupported { pf: pf.name.clone(), driver }));
    }
    if pool.promisc == Promisc::BestEffort {
        return Ok(());
    }
    match find_obstacle(&pf.name, &Facts::read(sysfs, &pf.pci, promisc)?) {
        None => Ok(()),
        Some(Obstacle { why, remedy: hint }) => {
            Err(Error::Nic(NicError::NotPromiscuous { pf: pf.name.clone(), why, hint }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(
        driver: &str,
        vf_device: &str,
        promisc: bool,
        flag: Option<Option<bool>>,
    ) -> Option<String> {
        let facts = Facts {
            driver: Some(driver.to_owned()),
            vf_device: Some(vf_device.to_owned()),
            promisc,
            true_flag: flag.map(|state| TrueFlag { netdev: "p0".to_owned(), state }),
        };
        find_obstacle("p1", &facts).map(|obstacle| format!("{}; {}", obstacle.why, obstacle.remedy))
    }

    #[test]
    fn i40e_and_ice_need_the_private_flag() {
        for driver in ["i40e", "ice"] {
            assert_eq!(why(driver, "154c", false, Some(Some(true))), None);
            let off = why(driver, "154c", true, Some(Some(false))).unwrap();
            assert!(
                off.starts_with("the private flag vf-true-promisc-support of p0 is off; "),
                "{off}"
            );
            assert!(
                off.ends_with("`ethtool --set-priv-flags p0 vf-true-promisc-support on`"),
                "{off}"
            );
            assert!(why(driver, "154c", true, Some(None)).unwrap().contains("has no private flag"));
            assert!(why(driver, "154c", true, None).unwrap().starts_with("function 0 of its card"));
        }
    }

    #[test]
    fn ixgbe_and_igb_need_a_promiscuous_pf() {
        assert_eq!(why("ixgbe", "1515", true, None), None);
        assert!(
            why("ixgbe", "1515", false, None).unwrap().ends_with("`ip link set p1 promisc on`")
        );
        assert_eq!(why("igb", "10ca", true, None), None);
        assert!(
            why("igb", "10ca", false, None).unwrap().starts_with("igb delivers unknown unicast")
        );
    }

    #[test]
    fn vfs_of_an_82599_cannot_be_promiscuous() {
        assert!(
            why("ixgbe", "10ed", true, None).unwrap().starts_with("the VFs of an 82599 cannot be")
        );
    }

    #[test]
    fn mlx5_and_bnxt_need_only_trust_and_unknown_drivers_are_refused() {
        assert_eq!(why("mlx5_core", "1018", false, None), None);
        assert_eq!(why("bnxt_en", "16dc", false, None), None);
        assert!(
            why("sfc", "1a03", true, None)
                .unwrap()
                .starts_with("runvf does not know whether VFs of the driver sfc")
        );
    }

    #[test]
    fn functions_of_one_card_are_recognized() {
        assert!(same_card("0000:41:00.0", "0000:41:00.1"));
        assert!(!same_card("0000:41:00.0", "0000:42:00.0"));
    }
}
