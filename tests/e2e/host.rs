//! The host under the containers: set up as an operator would, and looked at from outside of runvf.

use std::sync::Mutex;
use std::time::Duration;

use lab::{Lab, Programs};
use serde_json::Value;

pub(crate) const CONFIG: &str = "/etc/runvf/config.toml";

/// A pristine host with runvf installed and one pool of all its PFs.
pub(crate) fn installed() -> Lab {
    Lab::with_runvf(Programs::Released).unwrap()
}

/// The ways in which hosts are made ready for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// [`prepared`]'s
    ThreeVfs,
    SevenVfs,
    /// With the programs that can be told to fail, and two VFs.
    Faulty,
}

/// Hosts that tests have left as they found them.
static LEFT: Mutex<Vec<(Kind, Lab)>> = Mutex::new(Vec::new());

/// Each keeps its memory. Tests of one kind run one after the other, so these few are nearly always of the right kind.
const MOST_LEFT: usize = 3;

/// One that another test has left, or a new one.
pub(crate) fn one_of(kind: Kind, make: impl FnOnce() -> Lab) -> Lab {
    let mut left = LEFT.lock().unwrap();
    let found = left.iter().position(|(of, _)| *of == kind).map(|at| left.remove(at).1);
    drop(left);
    found.unwrap_or_else(make)
}

/// Leaves a host, which is still as it was `before`, to another test. That one starts sooner: an emulated CPU runs a program the
/// third time in a third of the time of the first. What a test may not leave are other settings, except for [`CONFIG`]; its own
/// files are removed, but for the functions that some hosts are made with.
pub(crate) fn leave_one_of(kind: Kind, lab: Lab, before: &str) {
    assert_untouched(&lab, before);
    lab.ok("find /tmp -mindepth 1 -maxdepth 1 ! -name functions ! -name 'systemd-private-*' -exec rm -rf --one-file-system {} +")
        .unwrap();
    let mut left = LEFT.lock().unwrap();
    let oldest = (left.len() >= MOST_LEFT).then(|| left.remove(0));
    left.push((kind, lab));
    drop(left);
    drop(oldest);
}

/// As [`installed`], with the VFs of pf0 there already and no other PF in the pool.
pub(crate) fn prepared() -> Lab {
    let lab = one_of(Kind::ThreeVfs, || {
        let lab = installed();
        lab.ok("echo 3 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
        settle(&lab, 3);
        lab
    });
    configure(&lab, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n");
    lab
}

/// [`leave_one_of`] those.
pub(crate) fn leave(lab: Lab, before: &str) {
    leave_one_of(Kind::ThreeVfs, lab, before);
}

pub(crate) fn configure(lab: &Lab, text: &str) {
    lab.write(CONFIG, text).unwrap();
}

/// Waits until pf0's VFs have their netdevs and udev has given them their names.
pub(crate) fn settle(lab: &Lab, count: usize) {
    let there = format!("[ $(ls -d /sys/class/net/pf0/device/virtfn*/net/* | wc -l) = {count} ]");
    lab.wait_until(Duration::from_secs(20), &there).unwrap();
    lab.ok("udevadm settle").unwrap();
}

/// What the PF says of one of its VFs.
pub(crate) fn vf(lab: &Lab, pf: &str, index: usize) -> Value {
    lab.json(&format!("ip -j link show {pf}")).unwrap()[0]["vfinfo_list"][index].clone()
}

/// VLAN and trust of every VF of a PF that has a VLAN.
pub(crate) fn on_vlans(lab: &Lab, pf: &str) -> Vec<(u64, bool)> {
    let link = lab.json(&format!("ip -j link show {pf}")).unwrap();
    let vfs = link[0]["vfinfo_list"].as_array().cloned().unwrap_or_default();
    vfs.iter().filter_map(|vf| Some((vlan(vf)?, vf["trust"].as_bool()?))).collect()
}

fn vlan(vf: &Value) -> Option<u64> {
    vf["vlan_list"][0]["vlan"].as_u64().filter(|vlan| *vlan != 0)
}

/// Everything that a refused or ended container must leave as it was: links with their names, flags and MTU (not the carrier,
/// which is the wire's), VF settings and drivers, claims, namespaces, containers, sensors' folders. Two of these compare equal or show what differs.
pub(crate) fn state(lab: &Lab) -> String {
    // Few processes: each costs an emulated CPU more than what it does. And no engine's, which cost it most: what they keep of
    // each container are folders. Podman removes its own when all else is gone; its last helper may live on for a moment.
    lab.ok(
        r#"udevadm settle
         ip link show | awk '
             /^[0-9]+: (pf|enp|eth|mon|tap|dev)/ {
                 sub(/^[0-9]+: /, ""); sub(/ qdisc .*/, ""); sub(/NO-CARRIER,/, ""); sub(/,LOWER_UP/, ""); name = $1; print }
             /^ +vf [0-9]/ { sub(/link\/ether [0-9a-f:]+ /, ""); print name, $0 }' | sort
         cd /sys/class/net
         grep -shE '^([0-9]+$|DRIVER=|PCI_SLOT_NAME=)' pf*/device/sriov_numvfs pf*/device/virtfn*/uevent || [ $? = 2 ]
         find /run/runvf/claims /run/runvf/containers /run/netns /var/log/runvf /var/lib/docker/containers \
             /var/lib/containers/storage/overlay-containers \
             -mindepth 1 -maxdepth 1 \( ! -path '/var/*' -o -type d \) 2> /dev/null || true
         (readlink /proc/[0-9]*/ns/net || true) | sort -u | wc -l
         declare -A there
         for file in /proc/[0-9]*/comm; do ! read -r name < $file || there[$name]=$((${there[$name]:-0} + 1)); done 2> /dev/null
         for name in podman conmon containerd-shim runvf runc crun; do echo $name: ${there[$name]:-0}; done"#,
    )
    .unwrap()
    .stdout
}

/// Like `assert_eq!` on two [`state`]s, once the engines are through with their own cleaning up.
pub(crate) fn assert_untouched(lab: &Lab, before: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let now = state(lab);
        if now == before {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the host has changed.\nbefore:\n{before}\nnow:\n{now}"
        );
    }
}

/// That VF `index` of pf0 is clean and home: no VLAN, no trust, DOWN in the host under its old name.
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
    assert!(lab.ok("ls -A /run/runvf/claims").unwrap().text().is_empty());
}
