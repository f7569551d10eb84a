//! What a probe observed: the input of [`super::verdict`].

use std::collections::{BTreeMap, BTreeSet};

use super::topology::{Flow, Role, To, Vlans};
use crate::kernel::vf_settings::Settings;

#[derive(Debug, Clone)]
pub(super) struct Evidence {
    pub(super) vlans: Vlans,
    pub(super) roles: Vec<Role>,
    /// The settings that the PF reports for the sensor's VF after its configuration.
    pub(super) sensor: Option<Settings>,
    /// Why no frame was sent. `None`: frames were sent.
    pub(super) blocked: Option<String>,
    pub(super) arrivals: Arrivals,
}

impl Evidence {
    /// Counts the frames of a sender that arrived at VFs of the other VLAN.
    pub(super) fn count_leaked(&self, from: Role) -> usize {
        let on_different_vlan = |at: &&Role| at.is_on_other_vlan() != from.is_on_other_vlan();
        let roles = self.roles.iter().filter(on_different_vlan);
        roles.map(|at| self.arrivals.count_from(from, *at)).sum()
    }
}

/// The frames that arrived at each VF.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrivals {
    numbers: BTreeMap<(Flow, Role), BTreeSet<u16>>,
    tagged: BTreeMap<Role, usize>,
    /// The roles that received a control frame before all other frames were sent.
    pub(super) reached_before: BTreeSet<Role>,
    /// The roles that received a control frame that was sent after all other frames.
    pub(super) reached_after: BTreeSet<Role>,
}

impl Arrivals {
    pub(super) fn add(&mut self, flow: Flow, at: Role, number: u16, tagged: bool) {
        self.numbers.entry((flow, at)).or_default().insert(number);
        *self.tagged.entry(at).or_default() += usize::from(tagged);
    }

    /// Counts the frames of a flow that arrived at a VF. A duplicate counts once.
    pub(super) fn count(&self, from: Role, to: To, at: Role) -> usize {
        self.numbers.get(&(Flow { from, to }, at)).map_or(0, BTreeSet::len)
    }

    /// Counts the frames of all flows of a sender that arrived at a VF. A duplicate counts once.
    pub(super) fn count_from(&self, from: Role, at: Role) -> usize {
        let matches = |((flow, arrived_at), _): &(&(Flow, Role), &BTreeSet<u16>)| {
            flow.from == from && *arrived_at == at
        };
        self.numbers.iter().filter(matches).map(|(_, numbers)| numbers.len()).sum()
    }

    /// Counts the frames that arrived at a VF with a VLAN tag.
    pub(super) fn count_tagged(&self, at: Role) -> usize {
        self.tagged.get(&at).copied().unwrap_or(0)
    }

    /// Whether a control frame of the VF's own VLAN arrived with this number or a later one.
    pub(super) fn has_control_since(&self, number: u16, at: Role) -> bool {
        let control = |flow: &Flow| {
            flow.to == To::Control && flow.from.is_on_other_vlan() == at.is_on_other_vlan()
        };
        self.numbers.iter().any(|((flow, arrived_at), numbers)| {
            control(flow) && *arrived_at == at && numbers.last().is_some_and(|last| *last >= number)
        })
    }
}
