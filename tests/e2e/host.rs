//! The host under the containers: installed as by an operator, and observed without runvf.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use lab::{Lab, Programs};
use serde_json::Value;

pub(crate) const CONFIG: &str = "/etc/runvf/config.toml";

/// A pristine host with runvf and one pool of all its PFs.
pub(crate) fn installed() -> Lab {
    Lab::with_runvf(Programs::Released).unwrap()
}

/// The hosts that tests leave to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostKind {
    /// As [`prepared`] makes it.
    ThreeVfs,
    SevenVfs,
    /// Two VFs, and the programs with fault points.
    Faulty,
}

/// Hosts that a test has left unchanged.
static LEFT: Mutex<Vec<(HostKind, Lab)>> = Mutex::new(Vec::new());

/// Each of them keeps its memory. Tests of one kind run one after the other, so a few hosts are
/// enough.
const MAX_LEFT: usize = 3;

/// A host that another test has left, or a new one.
pub(crate) fn host_of_kind(kind: HostKind, make: impl FnOnce() -> Lab) -> Lab {
    let mut left = LEFT.lock().unwrap();
    let found = left.iter().position(|(of, _)| *of == kind).map(|at| left.remove(at).1);
    drop(left);
    found.unwrap_or_else(make)
}

/// Leaves a host to another test, after an assertion that its state is that of `before`. The other
/// test is faster: an emulated CPU runs a program the third time in a third of the time of the
/// first. The test may have changed [`CONFIG`] and no other setting. Its files in `/tmp` are
/// removed, except for the shell functions that some hosts have.
pub(crate) fn leave_host_of_kind(kind: HostKind, lab: Lab, before: &str) {
    assert_untouched(&lab, before);
    lab.ok("find /tmp -mindepth 1 -maxdepth 1 ! -name functions ! -name 'systemd-private-*' -exec rm -rf --one-file-system {} +")
        .unwrap();
    let mut left = LEFT.lock().unwrap();
    let oldest = (left.len() >= MAX_LEFT).then(|| left.remove(0));
    left.push((kind, lab));
    drop(left);
    drop(oldest);
}

/// As [`installed`], with three VFs on pf0, which is the only PF of the pool.
pub(crate) fn prepared() -> Lab {
    let lab = host_of_kind(HostKind::ThreeVfs, || {
        let lab = installed();
        lab.ok("echo 3 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
        settle(&lab, 3);
        lab
    });
    configure(&lab, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n");
    lab
}

/// Leaves a [`prepared`] host to another test.
pub(crate) fn leave(lab: Lab, before: &str) {
    leave_host_of_kind(HostKind::ThreeVfs, lab, before);
}

pub(crate) fn configure(lab: &Lab, text: &str) {
    lab.write(CONFIG, text).unwrap();
}

/// Waits until the VFs of pf0 have their netdevs and udev has named them.
pub(crate) fn settle(lab: &Lab, count: usize) {
    let complete =
        format!("[ $(ls -d /sys/class/net/pf0/device/virtfn*/net/* | wc -l) = {count} ]");
    lab.wait_until(Duration::from_secs(20), &complete).unwrap();
    lab.ok("udevadm settle").unwrap();
}

/// The settings of a VF, as its PF shows them.
pub(crate) fn vf(lab: &Lab, pf: &str, index: usize) -> Value {
    lab.json(&format!("ip -j link show {pf}")).unwrap()[0]["vfinfo_list"][index].clone()
}

/// VLAN and trust of each VF of a PF that has a VLAN.
pub(crate) fn on_vlans(lab: &Lab, pf: &str) -> Vec<(u64, bool)> {
    let link = lab.json(&format!("ip -j link show {pf}")).unwrap();
    let vfs = link[0]["vfinfo_list"].as_array().cloned().unwrap_or_default();
    vfs.iter().filter_map(|vf| Some((vlan(vf)?, vf["trust"].as_bool()?))).collect()
}

fn vlan(vf: &Value) -> Option<u64> {
    vf["vlan_list"][0]["vlan"].as_u64().filter(|vlan| *vlan != 0)
}

/// All that a refused or ended container must leave unchanged: links with their names, flags and
/// MTU (without the carrier, which depends on the wire), settings and drivers of VFs, claims,
/// network namespaces, containers, log directories. Two states that differ are shown as a
/// difference of lines.
pub(crate) fn state(lab: &Lab) -> String {
    lab.ok(include_str!("scripts/state.sh")).unwrap().stdout
}

/// Asserts that [`state`] returns `before`, as soon as the engines have finished their own cleanup.
pub(crate) fn assert_untouched(lab: &Lab, before: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let now = state(lab);
        if now == before {
            return;
        }
        assert!(Instant::now() < deadline, "the host has changed.\nbefore:\n{before}\nnow:\n{now}");
    }
}

/// Asserts that VF `index` of pf0 is clean and in the host netns: no VLAN, no trust, DOWN, under
/// its old name and without the alias of its container; and that no claim is left.
pub(crate) fn assert_clean(lab: &Lab, index: usize, name: &str) {
    let vf = vf(lab, "pf0", index);
    assert_eq!(vlan(&vf), None, "{vf}");
    assert_eq!(vf["trust"], false, "{vf}");
    let link = lab.json(&format!("ip -j -d link show {name}")).unwrap()[0].clone();
    let flags = link["flags"].to_string();
    for flag in ["\"UP\"", "PROMISC", "ALLMULTI", "NOARP"] {
        assert!(!flags.contains(flag), "{link}");
    }
    assert_eq!((&link["operstate"], &link["promiscuity"]), (&"DOWN".into(), &0.into()), "{link}");
    let alias = link["ifalias"].as_str().unwrap_or_default();
    assert!(!alias.starts_with("vlan="), "{link}");
    assert!(lab.ok("ls -A /run/runvf/claims").unwrap().text().is_empty());
}
