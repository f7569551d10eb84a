//! Pure: what a VF has, what it shall have → the changes that lead from one to the other.
//!
//! Printing the changes is the dry run. On i40e and ice every change to VLAN, trust or MAC resets the VF, so what is
//! right already is never written again.

use crate::kernel::mac::MacAddress;
use crate::kernel::vf_settings::{Change, Settings};

/// The changes, in the order in which they are to be made.
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

/// What a VF sees and whom it is believed, if that is not what it shall: only its PF can have been told so. A container may change its
/// own MAC.
pub(crate) fn tampered(have: &Settings, want: &Settings) -> Option<String> {
    let graver = |change: &Change| matches!(change, Change::Vlan { .. } | Change::Trust(_));
    let changes = changes(have, want).into_iter().filter(graver);
    let told: Vec<_> =
        changes.map(|want| format!("{} instead of {want}", want.as_in(have))).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// The changes as one phrase.
pub(crate) fn phrase(changes: &[Change]) -> String {
    changes.iter().map(Change::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::vf_settings::LinkState;
    use crate::kernel::vlan::VlanProto;

    #[test]
    fn what_is_right_is_left_alone() {
        let settings = Settings { vlan: 100, trust: true, ..Settings::default() };
        assert_eq!(changes(&settings, &settings), []);
    }

    #[test]
    fn a_claim_sets_vlan_then_trust() {
        let have = Settings { spoof_check: true, ..Settings::default() };
        let want = Settings { vlan: 100, trust: true, ..have };
        assert_eq!(phrase(&changes(&have, &want)), "VLAN 100, trust on");
        assert_eq!(phrase(&changes(&want, &have)), "VLAN 0, trust off");
    }

    #[test]
    fn an_address_is_changed_only_where_one_is_asked_for() {
        let have = Settings { mac: MacAddress([2, 0, 0, 0, 0, 1]), ..Settings::default() };
        assert_eq!(changes(&have, &Settings::default()), []);
        let want = Settings { mac: MacAddress([2, 0, 0, 0, 0, 2]), ..Settings::default() };
        assert_eq!(phrase(&changes(&have, &want)), "MAC 02:00:00:00:00:02");
        assert_eq!(changes(&have, &want)[0].as_in(&have), Change::Mac(have.mac));
    }

    #[test]
    fn who_changes_vlan_or_trust_is_told_of() {
        let want = Settings { vlan: 100, trust: true, ..Settings::default() };
        let mac = MacAddress([2, 0, 0, 0, 0, 1]);
        assert_eq!(tampered(&Settings { mac, spoof_check: true, ..want }, &want), None);
        let have = Settings { vlan: 300, trust: false, ..want };
        let told = "VLAN 300 instead of VLAN 100, trust off instead of trust on";
        assert_eq!(tampered(&have, &want).as_deref(), Some(told));
    }

    #[test]
    fn another_priority_or_protocol_is_another_vlan() {
        let have = Settings { vlan: 100, ..Settings::default() };
        let want = Settings { qos: 3, ..have };
        assert_eq!(phrase(&changes(&have, &want)), "VLAN 100 qos 3 proto 802.1q");
        let want = Settings { proto: VlanProto::Dot1Ad, ..have };
        assert_eq!(phrase(&changes(&have, &want)), "VLAN 100 qos 0 proto 802.1ad");
    }

    #[test]
    fn vlan_trust_and_address_may_not_be_refused() {
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
