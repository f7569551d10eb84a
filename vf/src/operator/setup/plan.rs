//! Pure: which steps a PF needs, from its state and its pool.

use std::fmt;

use serde::Serialize;

use crate::error::Error;
use crate::nic::create_vfs::wanted_vfs;
use crate::nic::driver::{PromiscNeeds, TRUE_PROMISC, driver};
use crate::nic::error::NicError;
use crate::nic::pf::Pf;
use crate::nic::promisc::{Facts, Obstacle, TrueFlag, find_obstacle};
use crate::nic::udev::UnmarkedVf;
use crate::operator::error::OperatorError;
use crate::policy::config::{Pool, Promisc, Rest};

/// A step of the setup of a PF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Enable a private flag. `on` is the netdev that has it; it can be another function of the
    /// card.
    Flag {
        on: String,
        flag: &'static str,
    },
    /// Let the kernel bind drivers to the VFs by itself, or not.
    Autoprobe {
        on: bool,
    },
    Up,
    Promisc,
    Vfs {
        count: usize,
    },
    /// Unbind the driver of free VFs.
    Park {
        count: usize,
    },
    /// Bind the driver of parked VFs.
    Bind {
        count: usize,
    },
    /// Let udev apply its rules to VFs that are older than the rules. JSON: `tell`.
    #[serde(rename = "tell")]
    MarkVfs {
        count: usize,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag { on, flag } => write!(formatter, "{flag} of {on} on"),
            Self::Autoprobe { on: true } => write!(formatter, "new VFs get a driver"),
            Self::Autoprobe { on: false } => write!(formatter, "new VFs get no driver"),
            Self::Park { count } => write!(formatter, "{count} free VFs without driver"),
            Self::Bind { count } => write!(formatter, "{count} free VFs with driver"),
            Self::Up => write!(formatter, "up"),
            Self::Promisc => write!(formatter, "promiscuous"),
            Self::Vfs { count } => write!(formatter, "{count} VFs"),
            Self::MarkVfs { count } => {
                write!(formatter, "{count} VFs hidden from network managers")
            }
        }
    }
}

/// The current state of a PF.
#[derive(Debug)]
pub(super) struct PfState {
    pub(super) up: bool,
    /// The number of VFs.
    pub(super) vfs: usize,
    pub(super) facts: Facts,
    /// Whether the kernel binds drivers to the VFs by itself.
    pub(super) autoprobes: bool,
    /// How free VFs rest.
    pub(super) rest: Rest,
    /// Free VFs with a driver, and the driver. Only if VFs rest unbound.
    pub(super) to_park: Vec<(String, String)>,
    /// A claimed VF of the same card.
    pub(super) claimed_vf: Option<String>,
    /// VFs that udev has not marked with the property of the rules.
    pub(super) unmarked_vfs: Vec<UnmarkedVf>,
}

/// Returns the steps that the PF needs, in their order.
///
/// # Errors
/// [`OperatorError::VfCountDiffers`]; [`OperatorError::FlagInUse`]; [`NicError::NotPromiscuous`] if
/// the VFs could not be promiscuous even after all steps, although the pool requires it.
pub(super) fn plan(pf: &Pf, state: &PfState, pool: &Pool) -> Result<Vec<Step>, Error> {
    let wanted = wanted_vfs(pf, pool);
    if pool.vfs.is_some() && state.vfs != 0 && state.vfs != wanted {
        let (pf, pool, have) = (pf.name.clone(), pool.name.clone(), state.vfs);
        return Err(Error::Operator(OperatorError::VfCountDiffers { pf, pool, have, wanted }));
    }
    let mut steps = Vec::new();
    // The facts that hold once all steps are executed.
    let mut planned_facts = state.facts.clone();
    if let Some(TrueFlag { netdev: on, state: Some(flag_state @ false) }) =
        &mut planned_facts.true_flag
    {
        match (&state.claimed_vf, pool.promisc) {
            (None, _) => {
                *flag_state = true;
                steps.push(Step::Flag { on: on.clone(), flag: TRUE_PROMISC });
            }
            (Some(vf), Promisc::Require) => {
                let (flag, on, vf) = (TRUE_PROMISC, on.clone(), vf.clone());
                return Err(Error::Operator(OperatorError::FlagInUse { flag, on, vf }));
            }
            (Some(_), Promisc::BestEffort) => {}
        }
    }
    // Before the VFs are created, so that they are never bound.
    if state.rest == Rest::Unbound && state.autoprobes {
        steps.push(Step::Autoprobe { on: false });
    }
    if !state.up {
        steps.push(Step::Up);
    }
    let promisc_needs = driver(state.facts.driver.as_deref()).promisc;
    let needed = matches!(promisc_needs, PromiscNeeds::PfPromisc | PromiscNeeds::PfPromiscOnly);
    if !state.facts.promisc && (needed || pool.pf_promisc) {
        planned_facts.promisc = true;
        steps.push(Step::Promisc);
    }
    if state.vfs == 0 {
        steps.push(Step::Vfs { count: wanted });
    }
    if !state.to_park.is_empty() {
        steps.push(Step::Park { count: state.to_park.len() });
    }
    if !state.unmarked_vfs.is_empty() {
        steps.push(Step::MarkVfs { count: state.unmarked_vfs.len() });
    }
    match find_obstacle(&pf.name, &planned_facts) {
        Some(Obstacle { why, remedy: hint }) if pool.promisc == Promisc::Require => {
            Err(Error::Nic(NicError::NotPromiscuous { pf: pf.name.clone(), why, hint }))
        }
        _ => Ok(steps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pf() -> Pf {
        Pf { pci: "0000:41:00.1".into(), name: "p1".into(), ifindex: 7, total: 64 }
    }

    fn pool(vfs: Option<usize>, promisc: Promisc) -> Pool {
        let (name, pfs) = ("sensors".to_owned(), vec!["p1".to_owned()]);
        Pool { name, pfs, vfs, promisc, ..crate::nic::pf::tests::pool() }
    }

    /// VFs rest bound, except in the tests of `rest`.
    fn state(driver: &str, flag: Option<bool>) -> PfState {
        let true_flag = flag.map(|state| TrueFlag { netdev: "p0".into(), state: Some(state) });
        let facts = Facts { driver: Some(driver.into()), true_flag, ..Facts::default() };
        PfState {
            up: false,
            vfs: 0,
            facts,
            autoprobes: true,
            rest: Rest::Bound,
            to_park: Vec::new(),
            claimed_vf: None,
            unmarked_vfs: Vec::new(),
        }
    }

    fn planned(state: &PfState, pool: &Pool) -> Result<String, String> {
        let steps = plan(&pf(), state, pool).map_err(|error| error.line())?;
        Ok(steps.iter().map(Step::to_string).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn the_flag_comes_first_and_the_vfs_last() {
        let pool = pool(Some(8), Promisc::Require);
        assert_eq!(
            planned(&state("i40e", Some(false)), &pool).unwrap(),
            "vf-true-promisc-support of p0 on, up, 8 VFs"
        );
        assert_eq!(planned(&state("ixgbe", None), &pool).unwrap(), "up, promiscuous, 8 VFs");
        assert_eq!(planned(&state("mlx5_core", None), &pool).unwrap(), "up, 8 VFs");
    }

    #[test]
    fn vfs_that_rest_unbound_are_parked_after_the_kernel_stops_to_bind_them() {
        let pool = pool(Some(8), Promisc::Require);
        let unbound = || PfState { rest: Rest::Unbound, ..state("i40e", Some(true)) };
        assert_eq!(planned(&unbound(), &pool).unwrap(), "new VFs get no driver, up, 8 VFs");
        let to_park = vec![("0000:41:02.0".to_owned(), "iavf".to_owned())];
        let bound = PfState { up: true, vfs: 8, to_park: to_park.clone(), ..unbound() };
        let expected = "new VFs get no driver, 1 free VFs without driver";
        assert_eq!(planned(&bound, &pool).unwrap(), expected);
        let parked = PfState { autoprobes: false, to_park: Vec::new(), ..bound };
        assert_eq!(planned(&parked, &pool).unwrap(), "");
    }

    #[test]
    fn unmarked_vfs_are_marked() {
        let one = |ifindex| UnmarkedVf { vf: "0000:41:02.0".into(), name: "v0".into(), ifindex };
        let state =
            PfState { vfs: 8, unmarked_vfs: vec![one(9), one(10)], ..state("mlx5_core", None) };
        let result = planned(&state, &pool(Some(8), Promisc::Require)).unwrap();
        assert_eq!(result, "up, 2 VFs hidden from network managers");
    }

    #[test]
    fn a_pf_that_is_ready_needs_no_step() {
        let mut state = state("ixgbe", None);
        (state.up, state.vfs, state.facts.promisc) = (true, 8, true);
        assert_eq!(planned(&state, &pool(Some(8), Promisc::Require)).unwrap(), "");
        // Without `vfs`, all possible VFs are created only if there are none.
        assert_eq!(planned(&state, &pool(None, Promisc::Require)).unwrap(), "");
    }

    #[test]
    fn an_existing_number_of_vfs_is_not_changed() {
        let state = PfState { vfs: 4, ..state("bnxt_en", None) };
        assert_eq!(
            planned(&state, &pool(Some(8), Promisc::Require)).unwrap_err(),
            "PF p1 has 4 VFs, but pool `sensors` requires 8; stop its sensors, run `echo 0 > \
             /sys/class/net/p1/device/sriov_numvfs` and `runvfctl setup`, or set `vfs = 4` in the pool"
        );
        // A pool that requires more VFs than the PF supports gets all VFs that the PF supports.
        let all = PfState { vfs: 64, ..state };
        assert_eq!(planned(&all, &pool(Some(100), Promisc::Require)).unwrap(), "up");
    }

    #[test]
    fn the_flag_is_not_changed_while_a_vf_of_the_card_is_claimed() {
        let state =
            PfState { claimed_vf: Some("0000:41:02.0".into()), ..state("ice", Some(false)) };
        assert_eq!(
            planned(&state, &pool(None, Promisc::Require)).unwrap_err(),
            "private flag `vf-true-promisc-support` of p0 is off, and VF 0000:41:02.0 of that card is claimed; stop the \
             sensors on that card (see `runvfctl status`) and run `runvfctl setup`"
        );
        assert_eq!(planned(&state, &pool(None, Promisc::BestEffort)).unwrap(), "up, 64 VFs");
    }

    #[test]
    fn a_pf_without_promiscuous_vfs_is_an_error_if_the_pool_requires_them() {
        let result = planned(&state("sfc", None), &pool(None, Promisc::Require)).unwrap_err();
        assert!(result.starts_with("a VF of PF p1 would not be promiscuous: "), "{result}");
        assert_eq!(
            planned(&state("sfc", None), &pool(None, Promisc::BestEffort)).unwrap(),
            "up, 64 VFs"
        );
    }

    #[test]
    fn pf_promisc_makes_the_pf_promiscuous() {
        let pool = Pool { pf_promisc: true, ..pool(Some(2), Promisc::Require) };
        assert_eq!(planned(&state("mlx5_core", None), &pool).unwrap(), "up, promiscuous, 2 VFs");
    }
}
