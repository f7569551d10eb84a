//! The lab tests its host with the X710, without runvf: VFs carry frames of their VLAN only, trust
//! decides on promiscuity, resets end with a carrier, and no driver leaves the known part of the
//! device.
//!
//! The device model makes the rules of delivery (`lab/x710/README.md`); silicon may have others.

use std::time::Duration;

use lab::traffic::{Capture, Class, Flow, Mac, Traffic, mac};
use lab::{Lab, Nic, Result};
use serde_json::Value;

use crate::script::script;

/// VLAN and trust of each VF of the test.
const VFS: [(u16, bool); 3] = [(100, false), (100, true), (200, true)];

const TIMEOUT: Duration = Duration::from_secs(60);

/// A host with VFs on pf0, each up and promiscuous in a network namespace of its own, as VSI table
/// and MAC addresses.
fn host_with_vfs() -> Result<(Lab, Vec<Mac>)> {
    let lab = Lab::restore_with(Nic::IntelX710)?;
    lab.ok(&format!("echo {} > /sys/class/net/pf0/device/sriov_numvfs", VFS.len()))?;
    let mut macs = Vec::new();
    for index in 0..VFS.len() {
        let vf = index.to_string();
        let net = format!("/sys/class/net/pf0/device/virtfn{vf}/net");
        lab.wait_until(TIMEOUT, &format!("ls {net}/*"))?;
        lab.ok(&script(include_str!("../scripts/x710_vf.sh"), &[("index", &vf)]))?;
        wait_for_carrier(&lab, index)?;
        let link = lab.json(&format!("ip -n vf{vf} -j link show mon0"))?;
        macs.push(mac(link[0]["address"].as_str().unwrap_or_default()).unwrap());
    }
    Ok((lab, macs))
}

fn wait_for_carrier(lab: &Lab, index: usize) -> Result<()> {
    let condition = format!("ip -n vf{index} link show mon0 | grep -q LOWER_UP");
    lab.wait_until(TIMEOUT, &condition).map(drop)
}

/// What the switch knows of a VF, without the numbers that a reset of the VF changes, and without the
/// multicast groups, which IPv6 joins some time after the netdev is up.
fn vsi(lab: &Lab, index: usize) -> Result<Value> {
    let vsis = lab.x710_vsis(0)?;
    let mut vsi = vsis.into_iter().find(|vsi| vsi["vf"] == index).unwrap_or_default();
    if let Some(filters) = vsi["filters"].as_array_mut() {
        let unicast = |filter: &Value| {
            mac(filter["mac"].as_str().unwrap_or_default()).is_some_and(|mac| mac[0] & 1 == 0)
        };
        filters.retain(unicast);
        filters.sort_by_key(Value::to_string);
    }
    if let Some(fields) = vsi.as_object_mut() {
        fields.remove("seid");
        fields.remove("number");
    }
    Ok(vsi)
}

/// Waits until `condition` holds for the switch's entry of a VF. The drivers change it after the
/// command that asked for it has ended.
fn wait_for_vsi(lab: &Lab, index: usize, condition: impl Fn(&Value) -> bool) -> Result<()> {
    let deadline = std::time::Instant::now() + TIMEOUT;
    loop {
        let now = vsi(lab, index)?;
        if condition(&now) {
            return Ok(());
        }
        assert!(std::time::Instant::now() < deadline, "VF {index} is {now}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn set(lab: &Lab, index: usize, vlan: u16, trust: bool) -> Result<()> {
    let trust = if trust { "on" } else { "off" };
    lab.ok(&format!("ip link set pf0 vf {index} vlan {vlan} trust {trust}"))?;
    wait_for_carrier(lab, index)
}

/// Waits until the PF's driver has answered the VF's wish to be promiscuous.
fn wait_for_promiscuity(lab: &Lab, index: usize) -> Result<()> {
    let (vlan, trusted) = VFS[index];
    if trusted {
        return wait_for_vsi(lab, index, |vsi| {
            let on_vlans = vsi["promisc_on_vlans"].as_array().cloned().unwrap_or_default();
            on_vlans.iter().any(|entry| entry["vlan"] == vlan && entry["unicast"] == true)
        });
    }
    let refused = format!("dmesg | grep -q 'Unprivileged VF {index} is attempting'");
    lab.wait_until(TIMEOUT, &refused).map(drop)
}

/// Whether a VF receives a flow: broadcasts and its own address on its VLAN; and if it is trusted,
/// also addresses that no VF on its VLAN has.
fn receives(index: usize, flow: &Flow, macs: &[Mac]) -> bool {
    let (vlan, trusted) = VFS[index];
    let on_vlan =
        |station: &Mac| macs.iter().zip(VFS).any(|(mac, vf)| mac == station && vf.0 == vlan);
    let class = match &flow.class {
        Class::Broadcast | Class::Pattern(_) => true,
        Class::UnknownUnicast => trusted,
        Class::Unicast(station) => *station == macs[index] || (trusted && !on_vlan(station)),
    };
    flow.vlan == Some(vlan) && class
}

fn assert_delivery(lab: &Lab, macs: &[Mac]) -> Result<()> {
    let mut captures = Vec::new();
    for index in 0..VFS.len() {
        // tcpdump makes the netdev promiscuous.
        captures.push(Capture::start(lab, "mon0", Some(&format!("vf{index}")))?);
        wait_for_promiscuity(lab, index)?;
    }
    let traffic = Traffic::new().send_all(&[Some(100), Some(200), Some(300), None], macs, 20);
    traffic.play(lab, "mirror0")?;
    for (index, capture) in captures.into_iter().enumerate() {
        let pcap = capture.finish(&traffic, Some(VFS[index].0))?;
        let verdict = traffic.judge(&pcap, |flow| receives(index, flow, macs))?;
        verdict.require_exact(&format!("VF {index}"))?;
    }
    Ok(())
}

#[test]
fn vfs_of_the_x710_carry_their_vlan_and_only_trusted_ones_are_promiscuous() -> Result<()> {
    let (lab, macs) = host_with_vfs()?;
    let before: Vec<Value> = (0..VFS.len()).map(|index| vsi(&lab, index)).collect::<Result<_>>()?;
    for (index, (vlan, trust)) in VFS.into_iter().enumerate() {
        set(&lab, index, vlan, trust)?;
    }
    assert_delivery(&lab, &macs)?;

    for (index, before) in before.iter().enumerate() {
        set(&lab, index, 0, false)?;
        wait_for_vsi(&lab, index, |now| now == before)?;
    }
    assert_eq!(lab.x710_journal()?, "");
    Ok(())
}

#[test]
fn resets_of_the_x710_keep_vlan_and_trust_and_end_with_a_carrier() -> Result<()> {
    let (lab, macs) = host_with_vfs()?;
    for (index, (vlan, trust)) in VFS.into_iter().enumerate() {
        set(&lab, index, vlan, trust)?;
    }
    lab.ok("mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug")?;
    let device = "/sys/bus/pci/devices/0000:01:00.0";
    for reset in [
        format!("echo 1 > {device}/virtfn0/reset"),
        "echo pfr > /sys/kernel/debug/i40e/0000:01:00.0/command".to_owned(),
        "echo corer > /sys/kernel/debug/i40e/0000:01:00.0/command".to_owned(),
        format!("echo 1 > {device}/reset"),
    ] {
        // A driver that noticed no reset would keep its carrier.
        lab.ok("dmesg -C")?;
        lab.ok(&reset)?;
        lab.wait_until(TIMEOUT, "dmesg | grep -q 'iavf.*[Rr]eset'")?;
        for (index, (vlan, _)) in VFS.into_iter().enumerate() {
            wait_for_vsi(&lab, index, |vsi| vsi["pvid"] == vlan && !vsi["filters"][0].is_null())?;
            wait_for_carrier(&lab, index)?;
        }
    }
    lab.ok("dmesg -C")?;
    assert_delivery(&lab, &macs)?;

    lab.set_x710_cable(0, false)?;
    let carriers = "cat /sys/class/net/pf0/carrier; for i in 0 1 2; do ip netns exec vf$i cat /sys/class/net/mon0/carrier; done";
    lab.wait_until(TIMEOUT, &format!("[ \"$({{ {carriers}; }} | sort -u)\" = 0 ]"))?;
    lab.set_x710_cable(0, true)?;
    lab.wait_until(TIMEOUT, &format!("[ \"$({{ {carriers}; }} | sort -u)\" = 1 ]"))?;
    assert_eq!(lab.x710_journal()?, "");
    Ok(())
}

#[test]
fn the_x710_has_32_vfs_and_they_all_come_up() -> Result<()> {
    let lab = Lab::restore_with(Nic::IntelX710)?;
    lab.ok("echo 32 > /sys/class/net/pf0/device/sriov_numvfs")?;
    let netdevs = "ls -d /sys/class/net/pf0/device/virtfn*/net/*";
    lab.wait_until(TIMEOUT, &format!("[ $({netdevs} | wc -l) = 32 ]"))?;
    lab.ok(&format!("udevadm settle; for d in $({netdevs}); do ip link set ${{d##*/}} up; done"))?;
    lab.wait_until(
        TIMEOUT,
        &format!("[ $(cat $({netdevs} | sed s,$,/carrier,) | grep -c 1) = 32 ]"),
    )?;
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_numvfs")?;
    assert_eq!(lab.x710_vsis(0)?.len(), 1);
    assert_eq!(lab.x710_journal()?, "");
    Ok(())
}
