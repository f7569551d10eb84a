//! The host under the containers: installed as by an operator, and observed without runvf.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use lab::{HostKind, Lab, Programs};
use serde_json::Value;

use crate::card::{ALLOW_PROMISC, Card, I82576};
use crate::switch::assert_switch_is_clean;

pub(crate) const CONFIG: &str = "/etc/runvf/config.toml";

/// A pristine host with the 82576, with runvf and one pool of all its PFs.
pub(crate) fn installed() -> Lab {
    installed_on(I82576)
}

/// As [`installed`], with another kind of host.
pub(crate) fn installed_on(host: HostKind) -> Lab {
    Lab::with_runvf_on(host, Programs::Released).unwrap()
}

/// What was done to the hosts that tests leave to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preparation {
    /// As [`prepared_on`] makes it.
    ThreeVfs,
    /// As [`set_up_on`] makes it.
    SetUp,
    SevenVfs,
    /// Two VFs, and the programs with fault points.
    Faulty,
}

/// Hosts that a test has left unchanged.
static LEFT: Mutex<Vec<(Preparation, Lab)>> = Mutex::new(Vec::new());

/// Each of them keeps its memory. Tests of one kind run one after the other, so a few hosts are
/// enough.
const MAX_LEFT: usize = 4;

/// A host that another test has left, or a new one.
pub(crate) fn reused(host: HostKind, preparation: Preparation, make: impl FnOnce() -> Lab) -> Lab {
    let mut left = LEFT.lock().unwrap();
    let fits = |one: &(Preparation, Lab)| one.0 == preparation && one.1.kind() == host;
    let found = left.iter().position(fits).map(|at| left.remove(at).1);
    drop(left);
    found.unwrap_or_else(make)
}

/// Leaves a host to another test, after an assertion that its state is that of `before`. The other
/// test is faster: an emulated CPU runs a program the third time in a third of the time of the
/// first. The test may have changed [`CONFIG`] and no other setting. Its files in `/tmp` are
/// removed, except for the shell functions that some hosts have.
pub(crate) fn leave_as(preparation: Preparation, lab: Lab, before: &str) {
    assert_untouched(&lab, before);
    assert_switch_is_clean(&lab);
    assert_eq!(lab.x710_journal().unwrap(), "");
    lab.ok("find /tmp -mindepth 1 -maxdepth 1 ! -name functions ! -name 'systemd-private-*' -exec rm -rf --one-file-system {} +")
        .unwrap();
    let mut left = LEFT.lock().unwrap();
    let oldest = (left.len() >= MAX_LEFT).then(|| left.remove(0));
    left.push((preparation, lab));
    drop(left);
    drop(oldest);
}

/// As [`installed`], with three VFs on pf0, which is the only PF of the pool.
pub(crate) fn prepared() -> Lab {
    prepared_on(I82576)
}

/// As [`prepared`], with another kind of host. Its VFs were made by hand, so they have their driver
/// also while they are free.
pub(crate) fn prepared_on(host: HostKind) -> Lab {
    let lab = reused(host, Preparation::ThreeVfs, || {
        let lab = installed_on(host);
        lab.ok(ALLOW_PROMISC).unwrap();
        lab.ok("echo 3 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
        settle(&lab, 3);
        lab
    });
    configure(&lab, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n");
    lab
}

/// Leaves a [`prepared_on`] host to another test.
pub(crate) fn leave(lab: Lab, before: &str) {
    leave_as(Preparation::ThreeVfs, lab, before);
}

/// As [`prepared_on`], but `runvfctl setup` has made the VFs, as an operator does it. So free VFs rest
/// as is best for the card: on the X710 without a driver.
pub(crate) fn set_up_on(host: HostKind) -> Lab {
    let configured = |lab: &Lab| {
        configure(lab, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nvfs = 3\n");
    };
    let lab = reused(host, Preparation::SetUp, || {
        let lab = installed_on(host);
        configured(&lab);
        lab.ok("runvfctl setup").unwrap();
        assert_eq!(rests_bound(&lab), !Card::of(&lab).parks);
        lab
    });
    configured(&lab);
    lab
}

/// Leaves a [`set_up_on`] host to another test.
pub(crate) fn leave_set_up(lab: Lab, before: &str) {
    leave_as(Preparation::SetUp, lab, before);
}

/// Whether the free VFs of pf0 have a driver.
pub(crate) fn rests_bound(lab: &Lab) -> bool {
    lab.ok("cat /sys/class/net/pf0/device/sriov_drivers_autoprobe").unwrap().text() == "1"
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

/// Asserts that VF `index` of pf0 is clean and free: no VLAN, no trust; that its netdev is DOWN under
/// its old name in the host netns, or that it has no driver if free VFs rest so; that the switch of an
/// X710 has nothing of a tenant; and that no claim is left.
pub(crate) fn assert_clean(lab: &Lab, index: usize, name: &str) {
    let vf = vf(lab, "pf0", index);
    assert_eq!(vlan(&vf), None, "{vf}");
    assert_eq!(vf["trust"], false, "{vf}");
    if rests_bound(lab) {
        assert_netdev_is_clean(lab, name);
    } else {
        lab.ok(&format!("! [ -e /sys/class/net/pf0/device/virtfn{index}/driver ]")).unwrap();
    }
    assert_switch_is_clean(lab);
    assert!(lab.ok("ls -A /run/runvf/claims").unwrap().text().is_empty());
}

fn assert_netdev_is_clean(lab: &Lab, name: &str) {
    let link = lab.json(&format!("ip -j -d link show {name}")).unwrap()[0].clone();
    let flags = link["flags"].to_string();
    for flag in ["\"UP\"", "PROMISC", "ALLMULTI", "NOARP"] {
        assert!(!flags.contains(flag), "{link}");
    }
    assert_eq!((&link["operstate"], &link["promiscuity"]), (&"DOWN".into(), &0.into()), "{link}");
}
