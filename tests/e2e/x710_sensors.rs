//! Proof on the X710: a reset makes its sensors blind, `runvfctl gc` re-arms them, also after a kill
//! at any point, and free VFs rest without a driver.
//!
//! The programs are built with fault points (`vf/src/fault.rs`).

use std::time::Duration;

use lab::{Lab, Nic, Programs};

const TIMEOUT: Duration = Duration::from_secs(60);
const VF: &str = "0000:01:02.0";

/// A host with the VFs of pf0 as `setup` makes them, and a process with a VF on VLAN 11.
fn sensor() -> Lab {
    sensor_after("true")
}

/// The same, after a command on the host.
fn sensor_after(command: &str) -> Lab {
    let lab = Lab::with_runvf_on(Nic::IntelX710, Programs::WithFaultPoints).unwrap();
    lab.ok(command).unwrap();
    lab.write("/etc/runvf/config.toml", "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nvfs = 4\n")
        .unwrap();
    lab.write("/tmp/functions", include_str!("scripts/fault_points.sh")).unwrap();
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

/// Whether the switch gives unknown unicast of VLAN 11 to the first VF.
fn is_promiscuous(lab: &Lab) -> bool {
    let vsis = lab.x710_vsis(0).unwrap();
    let vsi = vsis.into_iter().find(|vsi| vsi["vf"] == 0).unwrap_or_default();
    let on_vlans = vsi["promisc_on_vlans"].as_array().cloned().unwrap_or_default();
    on_vlans.iter().any(|entry| entry["vlan"] == 11 && entry["unicast"] == true)
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
fn a_sensor_that_a_reset_has_made_blind_is_re_armed() {
    // iavf has one channel for each CPU, and only with two of them `ethtool -L` changes something.
    let lab = sensor_after("echo 1 > /sys/devices/system/cpu/cpu1/online");
    for event in [
        PF_RESET,
        "echo corer > /sys/kernel/debug/i40e/0000:01:00.0/command",
        // The attach has set one channel and the largest ring.
        "nsenter -n -t $(cat /tmp/a.pid) ethtool -L mon0 combined 2",
        "nsenter -n -t $(cat /tmp/a.pid) ethtool -G mon0 rx 1024",
    ] {
        make_blind(&lab, event);
        let shown = lab.ok("runvfctl status").unwrap();
        assert!(shown.stdout.contains("is attached: it may not be promiscuous: "), "{shown}");
        let done = lab.ok("rm -f /var/log/runvf/audit*; runvfctl gc").unwrap();
        assert!(done.stdout.starts_with(&format!("{VF} re-armed (mon0 of a): ")), "{done}");
        assert!(is_promiscuous(&lab), "{event}");
        assert_eq!(lab.ok("runvfctl gc").unwrap().stdout, "");
        let rows = lab.ok("runvfctl audit | grep -c ' blind '").unwrap();
        assert_eq!(rows.text(), "1", "{event}");
    }
    assert_eq!(lab.x710_journal().unwrap(), "");
}

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

#[test]
fn a_re_arm_that_is_killed_is_finished_by_the_next_gc() {
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
