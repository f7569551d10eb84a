//! What the hardware was told: the table of the X710's internal switch, which the tests read from the
//! device and not through a driver. The 82576 of QEMU has no such view.

use std::thread;
use std::time::{Duration, Instant};

use lab::traffic::mac;
use lab::{Lab, Nic};
use serde_json::Value;

/// The PF driver writes changes of filters from a task that runs every second.
const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The entry of VF `index` of `pf0`.
pub(crate) fn vsi_of_vf(lab: &Lab, index: usize) -> Value {
    let vsis = lab.x710_vsis(0).unwrap();
    vsis.into_iter().find(|vsi| vsi["vf"] == index).unwrap_or_default()
}

/// Whether the switch gives unknown unicast of a VLAN to a VF of `pf0`.
pub(crate) fn sees_unknown_unicast(lab: &Lab, index: usize, vlan: u16) -> bool {
    let vsi = vsi_of_vf(lab, index);
    let on_vlan = list(&vsi, "promisc_on_vlans")
        .iter()
        .any(|entry| entry["vlan"] == vlan && entry["unicast"] == true);
    on_vlan || vsi["unicast"] == true
}

fn list<'a>(vsi: &'a Value, key: &str) -> &'a [Value] {
    vsi[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// What a tenant has left at a VF in the switch: a port VLAN, promiscuity, or a filter of a VLAN or of
/// an address that the PF does not report for the VF.
fn leftovers(vsi: &Value, address: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (key, clean) in [
        ("pvid", Value::Null),
        ("unicast", false.into()),
        ("multicast", false.into()),
        ("default", false.into()),
    ] {
        if vsi[key] != clean {
            found.push(format!("{key} {}", vsi[key]));
        }
    }
    let on_vlan = |entry: &Value| entry["vlan"].as_u64().is_some_and(|vlan| vlan != 0);
    let promisc = |entry: &Value| entry["unicast"] == true || entry["multicast"] == true;
    for entry in list(vsi, "promisc_on_vlans").iter().filter(|it| on_vlan(it) || promisc(it)) {
        found.push(format!("promiscuity {entry}"));
    }
    let foreign = |filter: &Value| {
        let text = filter["mac"].as_str().unwrap_or_default();
        let is_unicast = mac(text).is_none_or(|mac| mac[0] & 1 == 0);
        on_vlan(filter) || is_unicast && text != address
    };
    found.extend(
        list(vsi, "filters").iter().filter(|it| foreign(it)).map(|it| format!("filter {it}")),
    );
    found
}

/// The leftovers at all VFs of a PF, each with its VSI.
fn leftovers_of_pf(lab: &Lab, port: u8) -> Vec<String> {
    let link = lab.json(&format!("ip -j link show pf{port}")).unwrap();
    let address = |vf: u64| {
        let vfs = link[0]["vfinfo_list"].as_array().cloned().unwrap_or_default();
        let of_vf = vfs.into_iter().find(|it| it["vf"] == vf).unwrap_or_default();
        of_vf["address"].as_str().unwrap_or_default().to_owned()
    };
    let vsis = lab.x710_vsis(port).unwrap();
    let of_vfs = vsis.iter().filter_map(|vsi| Some((vsi["vf"].as_u64()?, vsi)));
    of_vfs
        .flat_map(|(vf, vsi)| {
            let found = leftovers(vsi, &address(vf));
            found.into_iter().map(move |what| format!("pf{port} VF {vf}: {what}"))
        })
        .collect()
}

/// Asserts that no VF of an X710 has anything of a tenant in the switch: no port VLAN, no promiscuity,
/// no filter.
pub(crate) fn assert_switch_is_clean(lab: &Lab) {
    if lab.kind().nic != Nic::IntelX710 {
        return;
    }
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let found: Vec<_> =
            (0..lab.kind().nic.pfs()).flat_map(|port| leftovers_of_pf(lab, port)).collect();
        if found.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left in the switch: {found:#?}");
        thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> Value {
        serde_json::json!({
            "pvid": null, "unicast": false, "multicast": false, "default": false, "broadcast": true,
            "filters": [{"mac": "ff:ff:ff:ff:ff:ff", "vlan": null}, {"mac": "02:00:00:00:00:01", "vlan": 0}],
            "promisc_on_vlans": [],
        })
    }

    #[test]
    fn everything_of_a_tenant_is_a_leftover() {
        let address = "02:00:00:00:00:01";
        assert_eq!(leftovers(&clean(), address), Vec::<String>::new());
        assert_eq!(leftovers(&clean(), "00:00:00:00:00:00").len(), 1, "another address");
        for (key, value) in [
            ("pvid", serde_json::json!(100)),
            ("unicast", true.into()),
            ("multicast", true.into()),
            ("default", true.into()),
            ("promisc_on_vlans", serde_json::json!([{"vlan": 100, "unicast": true}])),
            ("promisc_on_vlans", serde_json::json!([{"vlan": 100, "broadcast": true}])),
            ("filters", serde_json::json!([{"mac": "ff:ff:ff:ff:ff:ff", "vlan": 100}])),
            ("filters", serde_json::json!([{"mac": "02:00:00:00:00:02", "vlan": null}])),
        ] {
            let mut vsi = clean();
            vsi[key] = value;
            assert_eq!(leftovers(&vsi, address).len(), 1, "{vsi}");
        }
    }
}
