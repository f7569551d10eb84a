//! VFs and PFs that are in use or have no driver: which VF an attach chooses.

use crate::engine::{Engine, run};
use crate::host::{configure, leave, prepared, state};

/// The kernel binds VFs by itself, so a VF without a driver was unbound by hand, or its driver is
/// late. It has a driver after the release.
#[test]
fn a_vf_that_lost_its_driver_gets_it_back() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok("echo 0000:01:10.0 > /sys/bus/pci/drivers/igbvf/unbind").unwrap();
    let output = run(
        &lab,
        Engine::PodmanHooks,
        "--annotation io.runvf.vlan=9",
        "basename $(readlink /sys/class/net/mon0/device)",
    );
    // VFs with a driver are preferred.
    assert_eq!(output.text(), "0000:01:10.2", "{output}");
    lab.ok("ip link set enp1s0v1 up; ip link set enp1s0v2 up").unwrap();
    let output = run(
        &lab,
        Engine::PodmanHooks,
        "--annotation io.runvf.vlan=9",
        "basename $(readlink /sys/class/net/mon0/device)",
    );
    assert_eq!(output.text(), "0000:01:10.0", "{output}");
    lab.ok("ip link set enp1s0v1 down; ip link set enp1s0v2 down").unwrap();
    leave(lab, &before);
}

/// A VF that is up, or in another netns, is in foreign use.
#[test]
fn a_vf_in_foreign_use_is_never_claimed() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok("ip link set enp1s0v0 up; ip netns add other; ip link set enp1s0v1 netns other")
        .unwrap();
    let output = run(&lab, Engine::PodmanHooks, "--annotation io.runvf.vlan=9", "true");
    assert_eq!(output.status, 0, "{output}");
    lab.ok("ip link show enp1s0v0 | grep -q UP; ip -n other link show enp1s0v1").unwrap();

    lab.ok("ip link set enp1s0v2 up").unwrap();
    let output = run(&lab, Engine::PodmanHooks, "--annotation io.runvf.vlan=9", "true");
    assert!(
        output.stderr.contains(
            "no free VF in pool `sensors`: pf0 has 0 claimed and 3 in use by something else; "
        ),
        "{output}"
    );
    assert_eq!(output.status, Engine::PodmanHooks.refusal());
    lab.ok("for vf in 0 2; do ip link set enp1s0v$vf down; done
            ip -n other link set enp1s0v1 netns 1; ip netns del other")
        .unwrap();
    leave(lab, &before);
}

/// If a PF is locked (for minutes while its VFs are created), the container gets a VF of the next
/// PF of its pool.
#[test]
fn a_busy_pf_is_skipped() {
    let lab = prepared();
    let before = state(&lab);
    configure(&lab, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\", \"pf1\"]\nvfs = 2\n");
    lab.ok(include_str!("../scripts/lock_pf.sh")).unwrap();
    let pf_of_vf = "basename $(readlink /sys/class/net/mon0/device/physfn)";
    let output = run(&lab, Engine::PodmanHooks, "--annotation io.runvf.vlan=9", pf_of_vf);
    assert_eq!(output.text(), "0000:02:00.0", "{output}");
    lab.ok("pkill -P $(cat /tmp/holder) sleep").unwrap();
    let output = run(&lab, Engine::PodmanHooks, "--annotation io.runvf.vlan=9", pf_of_vf);
    assert_eq!(output.text(), "0000:01:00.0", "{output}");
    lab.ok("echo 0 > /sys/class/net/pf1/device/sriov_numvfs").unwrap();
    leave(lab, &before);
}
