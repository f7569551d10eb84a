//! Twenty containers on one PF of the X710 that start at once, and end at once.

use std::time::Duration;

use lab::Lab;
use serde_json::Value;

use crate::card::X710;
use crate::host::{configure, installed_on};
use crate::switch::assert_switch_is_clean;

const COUNT: usize = 20;
const TIMEOUT: Duration = Duration::from_secs(300);

fn functions(lab: &Lab, script: &str) {
    lab.ok_within(TIMEOUT, &format!("source /tmp/at_once; {script}")).unwrap();
}

/// The VLANs of the VFs in the switch, and whether unknown unicast of its VLAN reaches each VF.
fn in_switch(lab: &Lab) -> Vec<(u64, bool)> {
    let vsis = lab.x710_vsis(0).unwrap();
    let of_vfs = vsis.iter().filter(|vsi| vsi["type"] == "vf" && !vsi["pvid"].is_null());
    let mut found: Vec<_> = of_vfs
        .map(|vsi| {
            let vlan = vsi["pvid"].as_u64().unwrap_or_default();
            let on_vlans = vsi["promisc_on_vlans"].as_array().cloned().unwrap_or_default();
            let is_promiscuous = |entry: &Value| entry["vlan"] == vlan && entry["unicast"] == true;
            (vlan, on_vlans.iter().any(is_promiscuous))
        })
        .collect();
    found.sort_unstable();
    found
}

/// No release ends at the time limit of an engine, and no VF keeps anything of its container.
#[test]
fn twenty_containers_on_one_pf_start_and_end_at_once() {
    let lab = installed_on(X710);
    configure(&lab, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n");
    lab.write("/tmp/at_once", include_str!("../scripts/at_once.sh")).unwrap();
    lab.ok("runvfctl setup").unwrap();
    for _ in 0..2 {
        functions(&lab, &format!("hold_all {COUNT}; all_at_once attach {COUNT}"));
        let expected: Vec<(u64, bool)> = (101..).take(COUNT).map(|vlan| (vlan, true)).collect();
        assert_eq!(in_switch(&lab), expected);
        functions(&lab, &format!("end_all {COUNT}; all_at_once detach {COUNT}"));
        assert_eq!(lab.ok("ls -A /run/runvf/claims").unwrap().text(), "");
        assert_switch_is_clean(&lab);
        let drivers =
            "for vf in /sys/class/net/pf0/device/virtfn*; do [ ! -e $vf/driver ] || echo $vf; done";
        assert_eq!(lab.ok(drivers).unwrap().stdout, "");
    }
}
