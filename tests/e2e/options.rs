//! What else an annotation may ask for.

use crate::engine::{Engine, IMAGE, run};
use crate::host::{assert_untouched, configure, leave, prepared, state};

#[test]
fn every_option_takes_effect_inside_and_on_the_pf() {
    let lab = prepared();
    let before = state(&lab);
    let options = "--annotation io.runvf.vlan=100 --annotation io.runvf.mtu=1400 \
        --annotation io.runvf.mac=02:00:00:00:0a:0b --annotation io.runvf.qos=3 \
        --annotation io.runvf.vlan.tap1=200 --annotation io.runvf.tenant=acme";
    let sensor = Engine::Docker.run();
    lab.ok(&format!("{sensor} -d --name sensor {options} {IMAGE} sleep 1000")).unwrap();

    let inside = |name: &str| {
        let shown = lab.json(&format!(
            "nsenter -n -t $(docker inspect -f '{{{{.State.Pid}}}}' sensor) ip -j link show {name}"
        ));
        shown.unwrap()[0].clone()
    };
    let mon0 = inside("mon0");
    assert_eq!((&mon0["mtu"], &mon0["address"]), (&1400.into(), &"02:00:00:00:0a:0b".into()));
    assert!(inside("tap1")["flags"].to_string().contains("PROMISC"));
    let shown =
        lab.ok("ip link show pf0 | grep -E 'vlan (100|200)' | sed -E 's/^ +vf [0-9] +//'").unwrap();
    assert!(shown.text().contains("02:00:00:00:0a:0b"), "{shown}");
    assert!(
        shown.text().contains("vlan 100, qos 3, spoof checking on, link-state auto, trust on"),
        "{shown}"
    );
    assert!(
        shown.text().contains("vlan 200, spoof checking on, link-state auto, trust on"),
        "{shown}"
    );
    let status = lab.json("runvfctl status --json").unwrap();
    let claims: Vec<_> =
        status[0]["vfs"].as_array().unwrap().iter().map(|vf| &vf["claim"]).collect();
    assert_eq!(claims.iter().filter(|claim| claim["tenant"] == "acme").count(), 2, "{status}");

    lab.ok("docker rm -f sensor").unwrap();
    assert_untouched(&lab, &before);
    lab.ok("! ip link show pf0 | grep 02:00:00:00:0a:0b").unwrap();
    leave(lab, &before);
}

/// `sriov_drivers_autoprobe=0`: VFs without netdevs until one is asked for, and again afterwards.
#[test]
fn a_vf_without_a_driver_has_none_afterwards() {
    let lab = prepared();
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_drivers_autoprobe").unwrap();
    lab.ok("for vf in /sys/class/net/pf0/device/virtfn*; do basename $(readlink $vf) > /sys/bus/pci/drivers/igbvf/unbind; done")
        .unwrap();
    let before = state(&lab);
    let output = run(
        &lab,
        Engine::PodmanHooks,
        "--annotation io.runvf.vlan=9",
        "cat /sys/class/net/mon0/carrier",
    );
    assert_eq!(output.text(), "1", "{output}");
    assert_untouched(&lab, &before);
}

/// A VF whose driver is missing although the kernel binds VFs by itself is only late, or was unbound by hand: it has one
/// afterwards.
#[test]
fn a_vf_that_lost_its_driver_has_one_afterwards() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok("echo 0000:01:10.0 > /sys/bus/pci/drivers/igbvf/unbind").unwrap();
    let output = run(
        &lab,
        Engine::PodmanHooks,
        "--annotation io.runvf.vlan=9",
        "basename $(readlink /sys/class/net/mon0/device)",
    );
    // The first in order of preference are those with a driver.
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

/// A VF that is up, or given to another driver, is somebody's.
#[test]
fn a_vf_that_somebody_uses_is_never_claimed() {
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

/// A PF that somebody holds (for minutes, if it makes its VFs) does not keep a container from the next PF of its pool.
#[test]
fn a_busy_pf_is_passed_over() {
    let lab = prepared();
    let before = state(&lab);
    configure(&lab, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\", \"pf1\"]\nvfs = 2\n");
    lab.ok("mkdir -p -m 700 /run/runvf/locks
         flock /run/runvf/locks/0000:01:00.0.lock sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > /tmp/holder
         until ! flock -n /run/runvf/locks/0000:01:00.0.lock true; do :; done")
        .unwrap();
    let where_to = "basename $(readlink /sys/class/net/mon0/device/physfn)";
    let output = run(&lab, Engine::PodmanHooks, "--annotation io.runvf.vlan=9", where_to);
    assert_eq!(output.text(), "0000:02:00.0", "{output}");
    lab.ok("pkill -P $(cat /tmp/holder) sleep").unwrap();
    let output = run(&lab, Engine::PodmanHooks, "--annotation io.runvf.vlan=9", where_to);
    assert_eq!(output.text(), "0000:01:00.0", "{output}");
    lab.ok("echo 0 > /sys/class/net/pf1/device/sriov_numvfs").unwrap();
    leave(lab, &before);
}
