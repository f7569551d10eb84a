//! The changes that turn a VF's current settings into the wanted ones. Pure functions.
//!
//! A dry run prints the changes. On i40e and ice every change of VLAN, trust or MAC resets the VF,
//! so a setting that is right already is never written again.

use crate::kernel::mac::MacAddress;
use crate::kernel::vf_settings::{Change, LinkState, Settings};

/// Returns the changes in the order in which to apply them.
pub(crate) fn changes(have: &Settings, want: &Settings) -> Vec<Change> {
    let mut changes = Vec::new();
    if want.mac != MacAddress::default() && want.mac != have.mac {
        changes.push(Change::Mac(want.mac));
    }
    if (want.vlan, want.qos, want.proto) != (have.vlan, have.qos, have.proto) {
        changes.push(Change::Vlan { vlan: want.vlan, qos: want.qos, proto: want.proto });
    }
    if want.trust != have.trust {
        changes.push(Change::Trust(want.trust));
    }
    if want.spoof_check != have.spoof_check {
        changes.push(Change::SpoofCheck(want.spoof_check));
    }
    if want.link_state != have.link_state {
        changes.push(Change::LinkState(want.link_state));
    }
    if (want.min_rate, want.max_rate) != (have.min_rate, have.max_rate) {
        changes.push(Change::Rates { min: want.min_rate, max: want.max_rate });
    }
    changes
}

/// Describes a VLAN or trust that differs from `want`. Only another tool on the host can change
/// these two, through the PF. A different MAC is ignored, because a container may change its own
/// MAC.
pub(crate) fn changed_outside_runvf(have: &Settings, want: &Settings) -> Option<String> {
    let is_set_by_host = |change: &Change| matches!(change, Change::Vlan { .. } | Change::Trust(_));
    let changes = changes(have, want).into_iter().filter(is_set_by_host);
    let differences: Vec<_> =
        changes.map(|want| format!("{} instead of {want}", want.value_in(have))).collect();
    (!differences.is_empty()).then(|| differences.join(", "))
}

/// As [`changed_outside_runvf`], with a link state that keeps the VF from receiving anything. `gc` sets
/// nothing else back under a running sensor.
pub(crate) fn to_set_back(have: &Settings, want: &Settings) -> Option<String> {
    let is_disabled = have.link_state == LinkState::Disable && want.link_state != have.link_state;
    let disabled = is_disabled.then(|| {
        let want = Change::LinkState(want.link_state);
        format!("{} instead of {want}", want.value_in(have))
    });
    let differences: Vec<_> =
        changed_outside_runvf(have, want).into_iter().chain(disabled).collect();
    (!differences.is_empty()).then(|| differences.join(", "))
}

/// Describes the changes for a message.
pub(crate) fn describe(changes: &[Change]) -> String {
    changes.iter().map(Change::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::vlan::VlanProto;

    #[test]
    fn equal_settings_need_no_change() {
        let settings = Settings { vlan: 100, trust: true, ..Settings::default() };
        assert_eq!(changes(&settings, &settings), []);
    }

    #[test]
    fn vlan_is_set_before_trust() {
        let have = Settings { spoof_check: true, ..Settings::default() };
        let want = Settings { vlan: 100, trust: true, ..have };
        assert_eq!(describe(&changes(&have, &want)), "VLAN 100, trust on");
        assert_eq!(describe(&changes(&want, &have)), "VLAN 0, trust off");
    }

    #[test]
    fn the_mac_changes_only_if_one_is_wanted() {
        let have = Settings { mac: MacAddress([2, 0, 0, 0, 0, 1]), ..Settings::default() };
        assert_eq!(changes(&have, &Settings::default()), []);
        let want = Settings { mac: MacAddress([2, 0, 0, 0, 0, 2]), ..Settings::default() };
        assert_eq!(describe(&changes(&have, &want)), "MAC 02:00:00:00:00:02");
        assert_eq!(changes(&have, &want)[0].value_in(&have), Change::Mac(have.mac));
    }

    #[test]
    fn a_foreign_change_of_vlan_or_trust_is_described() {
        let want = Settings { vlan: 100, trust: true, ..Settings::default() };
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        assert_eq!(
            changed_outside_runvf(&Settings { mac, spoof_check: true, ..want }, &want),
            None
        );
        let have = Settings { vlan: 300, trust: false, ..want };
        let expected = "VLAN 300 instead of VLAN 100, trust off instead of trust on";
        assert_eq!(changed_outside_runvf(&have, &want).as_deref(), Some(expected));
    }

    #[test]
    fn a_disabled_link_is_set_back_and_no_other_link_state() {
        let want = Settings { vlan: 100, trust: true, ..Settings::default() };
        assert_eq!(to_set_back(&Settings { link_state: LinkState::Enable, ..want }, &want), None);
        let have = Settings { link_state: LinkState::Disable, trust: false, ..want };
        let expected =
            "trust off instead of trust on, link state disable instead of link state auto";
        assert_eq!(to_set_back(&have, &want).as_deref(), Some(expected));
    }

    #[test]
    fn a_different_qos_or_protocol_is_a_vlan_change() {
        let have = Settings { vlan: 100, ..Settings::default() };
        let want = Settings { qos: 3, ..have };
        assert_eq!(describe(&changes(&have, &want)), "VLAN 100 qos 3 proto 802.1q");
        let want = Settings { proto: VlanProto::Dot1Ad, ..have };
        assert_eq!(describe(&changes(&have, &want)), "VLAN 100 qos 0 proto 802.1ad");
    }

    #[test]
    fn vlan_trust_and_mac_are_not_optional() {
        let have = Settings { link_state: LinkState::Disable, ..Settings::default() };
        let want = Settings {
            vlan: 5,
            trust: true,
            spoof_check: true,
            link_state: LinkState::Auto,
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            max_rate: 10,
            ..Settings::default()
        };
        let optional: Vec<_> = changes(&have, &want).iter().map(Change::is_optional).collect();
        assert_eq!(optional, [false, false, false, true, true, true]);
    }
}
