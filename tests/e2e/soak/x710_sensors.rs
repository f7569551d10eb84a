//! Proof on the X710: a `gc` that re-arms a blind sensor and is killed at any point is finished by the next
//! one, and free VFs rest without a driver. `resets` shows the re-arm itself.
//!
//! The programs are built with fault points (`vf/src/fault.rs`).

use std::time::Duration;

use lab::{Lab, Programs};

use crate::card::X710;
use crate::script::script;
use crate::switch::sees_unknown_unicast;

const TIMEOUT: Duration = Duration::from_secs(60);
const VF: &str = "0000:01:02.0";

/// A host with the VFs of pf0 as `setup` makes them, and a process with a VF on VLAN 11.
fn sensor() -> Lab {
    let lab = Lab::with_runvf_on(X710, Programs::WithFaultPoints).unwrap();
    lab.write("/etc/runvf/config.toml", "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nvfs = 4\n")
        .unwrap();
    let functions_of_vf = script(include_str!("../scripts/fault_points.sh"), &[("first_vf", VF)]);
    lab.write("/tmp/functions", functions_of_vf).unwrap();
    lab.ok("mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug").unwrap();
    lab.ok("runvfctl setup").unwrap();
    assert_eq!(drivers(&lab), "0", "free VFs are parked");
    functions(&lab, "holder a; attach_without_mac");
    assert!(is_promiscuous(&lab), "an attach ends when the PF has been told");
    lab
}

fn functions(lab: &Lab, script: &str) -> String {
    lab.ok(&format!("source /tmp/functions; {script}")).unwrap().stdout
}

/// The number of VFs with a driver.
fn drivers(lab: &Lab) -> String {
    let count = "for vf in /sys/class/net/pf0/device/virtfn*; do [ ! -e $vf/driver ] || echo $vf; done | wc -l";
    lab.ok(count).unwrap().text().to_owned()
}

fn is_promiscuous(lab: &Lab) -> bool {
    sees_unknown_unicast(lab, 0, 11)
}

/// Makes the VF blind, and waits until `status` says so and its interface has a carrier again.
fn make_blind(lab: &Lab, event: &str) {
    lab.ok(event).unwrap();
    let back = "runvfctl status | grep -q 'may not be promiscuous'
        nsenter -n -t $(cat /tmp/a.pid) ip link show mon0 | grep -q LOWER_UP";
    lab.wait_until(TIMEOUT, &back.replace('\n', " && ")).unwrap();
    assert!(!is_promiscuous(lab), "{event}");
}

const PF_RESET: &str = "echo pfr > /sys/kernel/debug/i40e/0000:01:00.0/command";

#[test]
fn changed_settings_are_set_back_and_the_sensor_sees_again() {
    let lab = sensor();
    for change in ["trust off", "vlan 300"] {
        lab.ok(&format!("ip link set pf0 vf 0 {change}")).unwrap();
        let done = lab.ok("runvfctl gc").unwrap();
        assert!(done.stdout.starts_with(&format!("{VF} set back ")), "{done}");
        assert!(is_promiscuous(&lab), "{change}");
    }
    assert_eq!(lab.x710_journal().unwrap(), "");
}

pub(crate) fn a_re_arm_that_is_killed_is_finished_by_the_next_gc() {
    let lab = sensor();
    make_blind(&lab, PF_RESET);
    let points = functions(&lab, "traced runvfctl gc > /dev/null; grep -v ^read- /tmp/trace");
    assert!(points.contains("clear-flags"), "{points}");
    let mut passed = std::collections::BTreeMap::new();
    for point in points.lines() {
        let nth: &mut u32 = passed.entry(point).or_default();
        *nth += 1;
        make_blind(&lab, PF_RESET);
        let killed = format!("rm -f /var/log/runvf/audit*; broken {point}:{nth}:kill runvfctl gc");
        let shown = lab.sh(&format!("source /tmp/functions; {killed}")).unwrap();
        assert!(shown.stdout.contains("ended with 137"), "{point}:{nth}: {shown}");
        functions(&lab, "rearmed a");
        assert!(is_promiscuous(&lab), "{point}:{nth}");
    }
    assert_eq!(lab.x710_journal().unwrap(), "");
}

#[test]
fn a_released_vf_rests_without_its_driver() {
    let lab = sensor();
    assert_eq!(drivers(&lab), "1");
    functions(&lab, "end a; hook detach a 11");
    assert_eq!(drivers(&lab), "0");
    let vf = lab.json("ip -j link show pf0").unwrap()[0]["vfinfo_list"][0].clone();
    let vlan = vf["vlan_list"][0]["vlan"].as_u64().unwrap_or(0);
    assert_eq!((&vf["trust"], vlan), (&false.into(), 0), "{vf}");
    lab.ok("runvfctl setup --undo").unwrap();
    assert_eq!(drivers(&lab), "4");
    assert_eq!(lab.x710_journal().unwrap(), "");
}
