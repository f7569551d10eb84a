//! Proof of the other annotations, and of VFs without a driver.

use crate::engine::{Engine, IMAGE, run};
use crate::hook_calls::{assert_free, functions, vlans, with};
use crate::host::{assert_untouched, leave, prepared, state};

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

/// With `sriov_drivers_autoprobe=0`, VFs have no netdev before the attach, and none after the
/// release.
#[test]
fn a_vf_without_a_driver_is_returned_without_one() {
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

/// Two containers ask for one MAC at the same moment.
#[test]
fn a_mac_has_one_container_on_a_pf_and_vlan() {
    let lab = prepared();
    functions(&lab);
    let before = state(&lab);
    let both = lab
        .ok(&with(
            "holder a 100; holder b 100; holder c 200
             sed -i 's/\"annotations\":{/&\"io.runvf.mac\":\"02:00:00:00:0a:0b\",/' /tmp/[abc].state
             attach a 2> /tmp/a.err & a=$!; attach b 2> /tmp/b.err & b=$!
             wait $a || true; wait $b || true; cat /tmp/[ab].err",
        ))
        .unwrap();
    let line = |other: &str| {
        format!(
            "runvf: MAC 02:00:00:00:0a:0b is in use on VLAN 100 of PF pf0: container {other} has it (mon0); \
             give each container another `io.runvf.mac`"
        )
    };
    let refused = both.text().to_owned();
    assert!(["a", "b"].iter().any(|other| refused == line(other)), "{both}");
    let on_vlans = |lab| vlans(lab).iter().map(|vf| vf.0).collect::<Vec<_>>();
    assert_eq!(on_vlans(&lab), [100]);
    let winner = if refused == line("a") { "a" } else { "b" };
    lab.ok(&with("attach c")).unwrap();
    assert_eq!(on_vlans(&lab), [100, 200], "the MAC is free on another VLAN");

    let other = if winner == "a" { "b" } else { "a" };
    lab.ok(&with(&format!("end {winner}; detach {winner}; attach {other}"))).unwrap();
    assert_eq!(on_vlans(&lab), [100, 200], "the MAC is free after its container");
    lab.ok(&with(&format!("end {other}; detach {other}; end c; detach c"))).unwrap();
    assert_free(&lab, "after all");
    leave(lab, &before);
}
