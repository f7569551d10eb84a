//! Whether a trusted VF of a PF can be promiscuous as things are: facts that are gathered at the edge, and a judgement over them.
//!
//! i40e and ice answer "success" to a VF that asks for promiscuity and do not grant it, so that nothing the VF says is proof.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::ethtool;
use crate::kernel::sysfs::Sysfs;
use crate::nic::driver::{PromiscBy, TRUE_PROMISC, driver};
use crate::nic::error::NicError;
use crate::nic::pf::Pf;
use crate::policy::config::{Pool, Promisc};
use crate::policy::request::Interface;

/// The VFs of an 82599 (`IXGBE_DEV_ID_82599_VF`). From X540 on they have another number.
const VF_82599: &str = "10ed";

/// The private flag `vf-true-promisc-support`, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrueFlag {
    /// The interface that has it for this PF.
    pub(crate) on: String,
    /// `None`: its driver lists no such flag.
    pub(crate) state: Option<bool>,
}

/// What there is to know of a PF for the judgement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) driver: Option<String>,
    /// The PCI device number of its VFs, hexadecimal.
    pub(crate) vf_device: Option<String>,
    /// Whether somebody has asked for it. What a tcpdump asked for ends with the tcpdump.
    pub(crate) promisc: bool,
    /// `None`: the function that would have it has no interface here, or the driver needs none.
    pub(crate) true_flag: Option<TrueFlag>,
}

/// What is in the way, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) why: String,
    pub(crate) mend: String,
}

pub(crate) fn obstacle(pf: &str, facts: &Facts) -> Option<Obstacle> {
    let because = |why: String, mend: String| Some(Obstacle { why, mend });
    let needs_pf = |why: &str| {
        because(why.to_owned(), format!("`runvfctl setup`, or `ip link set {pf} promisc on`"))
    };
    let name = facts.driver.as_deref().unwrap_or("none");
    match driver(facts.driver.as_deref()).promisc {
        PromiscBy::Trust => None,
        PromiscBy::TrueFlag => match &facts.true_flag {
            Some(TrueFlag { state: Some(true), .. }) => None,
            Some(TrueFlag { state: Some(false), on }) => because(
                format!("the private flag {TRUE_PROMISC} of {on} is off"),
                format!(
                    "stop the sensors on that card and run `runvfctl setup`, or `ethtool --set-priv-flags {on} {TRUE_PROMISC} on`"
                ),
            ),
            Some(TrueFlag { state: None, on }) => because(
                format!("{name} on {on} has no private flag {TRUE_PROMISC}"),
                "use a newer kernel".to_owned(),
            ),
            None => because(
                format!(
                    "function 0 of its card, which has the private flag {TRUE_PROMISC}, has no interface here"
                ),
                format!("give function 0 to the driver {name}"),
            ),
        },
        PromiscBy::PfPromisc if facts.vf_device.as_deref() == Some(VF_82599) => {
            because("an 82599 has no promiscuous VFs".to_owned(), "use an X540 or newer".to_owned())
        }
        PromiscBy::PfPromisc if !facts.promisc => {
            needs_pf("ixgbe refuses it to VFs while the PF itself is not promiscuous")
        }
        PromiscBy::PfAlone if !facts.promisc => {
            needs_pf("igb hands unknown unicast to VFs only while the PF itself is promiscuous")
        }
        PromiscBy::PfPromisc | PromiscBy::PfAlone => None,
        PromiscBy::Unknown => because(
            format!("what the driver {name} does for VFs is not known"),
            "use one of igb, ixgbe, i40e, ice, mlx5_core and bnxt_en".to_owned(),
        ),
    }
}

impl Facts {
    /// # Errors
    /// [`KernelError::Link`] when the driver does not tell its private flags.
    pub(crate) fn of(sysfs: &Sysfs, pci: &str, promisc: bool) -> Result<Self, Error> {
        let name = sysfs.driver(pci);
        let true_flag = match driver(name.as_deref()).promisc {
            PromiscBy::TrueFlag => true_flag(sysfs, pci)?,
            _ => None,
        };
        Ok(Self { vf_device: sysfs.vf_device(pci), driver: name, promisc, true_flag })
    }
}

/// Where the flag is, and how it stands. i40e lists it on the first PF of a card alone, and it counts for all of them; ice has
/// one on each PF, which counts for that PF.
///
/// # Errors
/// [`KernelError::Link`].
pub(crate) fn true_flag(sysfs: &Sysfs, pci: &str) -> Result<Option<TrueFlag>, Error> {
    let mut found = None;
    for function in [pci, &function_0(pci)] {
        let Some((on, _)) = sysfs.netdevs_or_empty(function).into_iter().next() else {
            found = None;
            continue;
        };
        let flags = ethtool::private_flags(&on).map_err(|errno| {
            Error::Kernel(KernelError::Link {
                action: "read the private flags of",
                object: on.clone(),
                source: NetlinkError::Refused(errno),
            })
        })?;
        let state = flags.iter().find(|(name, _)| name == TRUE_PROMISC).map(|(_, state)| *state);
        found = Some(TrueFlag { on, state });
        if state.is_some() {
            break;
        }
    }
    Ok(found)
}

/// The PCI address of the first function of the same card.
fn function_0(pci: &str) -> String {
    format!("{}.0", pci.split('.').next().unwrap_or(pci))
}

/// Whether two functions are of one card.
pub(crate) fn same_card(one: &str, other: &str) -> bool {
    function_0(one) == function_0(other)
}

/// Whether a PF can do what an interface is to do. Touches nothing.
///
/// # Errors
/// [`NicError::NotPromiscuous`], unless the pool takes that; [`NicError::ProtoUnsupported`].
pub(crate) fn fit(
    sysfs: &Sysfs,
    pf: &Pf,
    promisc: bool,
    interface: &Interface,
    pool: &Pool,
) -> Result<(), Error> {
    let name = sysfs.driver(&pf.pci);
    if !driver(name.as_deref()).takes(interface.proto) {
        let driver = name.unwrap_or_default();
        return Err(Error::Nic(NicError::ProtoUnsupported { pf: pf.name.clone(), driver }));
    }
    if pool.promisc == Promisc::BestEffort {
        return Ok(());
    }
    match obstacle(&pf.name, &Facts::of(sysfs, &pf.pci, promisc)?) {
        None => Ok(()),
        Some(Obstacle { why, mend: hint }) => {
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
            true_flag: flag.map(|state| TrueFlag { on: "p0".to_owned(), state }),
        };
        obstacle("p1", &facts).map(|obstacle| format!("{}; {}", obstacle.why, obstacle.mend))
    }

    #[test]
    fn i40e_and_ice_need_the_flag_of_the_card() {
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
        assert!(why("igb", "10ca", false, None).unwrap().starts_with("igb hands unknown unicast"));
    }

    #[test]
    fn an_82599_is_beyond_help() {
        assert!(why("ixgbe", "10ed", true, None).unwrap().starts_with("an 82599 has no"));
    }

    #[test]
    fn trust_is_all_that_mlx5_and_bnxt_need_and_others_are_not_believed() {
        assert_eq!(why("mlx5_core", "1018", false, None), None);
        assert_eq!(why("bnxt_en", "16dc", false, None), None);
        assert!(why("sfc", "1a03", true, None).unwrap().starts_with("what the driver sfc does"));
    }

    #[test]
    fn functions_of_one_card_belong_together() {
        assert!(same_card("0000:41:00.0", "0000:41:00.1"));
        assert!(!same_card("0000:41:00.0", "0000:42:00.0"));
    }
}
