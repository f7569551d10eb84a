//! More events of the host under running sensors: VFs are recreated, PFs lose their driver, daemons
//! and hosts die.

use std::time::Duration;

use lab::{HostKind, Lab};

use crate::card::{ALLOW_PROMISC, Card};
use crate::engine::{Engine, IMAGE, start};
use crate::hook_calls::{assert_free, functions, gc, status, vlans};
use crate::host::{configure, leave, prepared_on, settle, state};
use crate::host_events::{
    CAPTURING, EVENT_TIMEOUT, assert_sensor_sees, assert_sleeper_is_stopped, leave_host, prepare,
    remove_all, sensor_on, sensor_vf, sleeper_vf, start_sensor, start_sensor_and_sleeper,
    wait_for_failure,
};
use crate::script::script;

/// How something else uses a recreated VF, and how that use ends. `$dev` is the netdev of the VF.
struct Use<'a> {
    begin: &'a str,
    /// Shows the netdev.
    show: &'a str,
    end: &'a str,
}

/// A VF has the PCI address of a destroyed one, and another tool uses it. The container has lost
/// its VF, and this one is not touched.
fn a_recreated_vf_is_not_touched(host: HostKind, used: &Use<'_>) {
    let Use { begin, show, end } = used;
    let (lab, untouched) = prepare(host);
    start(&lab, Engine::Docker, "sleeper", "--annotation io.runvf.vlan=200");
    assert_eq!(vlans(&lab), [sensor_on(&lab, 200)]);
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_numvfs; echo 7 > /sys/class/net/pf0/device/sriov_numvfs")
        .unwrap();
    settle(&lab, 7);
    // Before the use, because i40e resets a VF for it.
    lab.ok("ip link set pf0 vf 0 vlan 300; ip link set pf0 vf 0 trust on").unwrap();
    let vf = sensor_vf(&lab);
    let dev = lab.ok(&format!("ls /sys/bus/pci/devices/{vf}/net")).unwrap();
    let with_dev = |program: &str| script(program, &[("dev", dev.text())]);
    lab.ok(&with_dev(begin)).unwrap();
    let shown = with_dev(&format!("{show} | jq 'map(del(.stats64))'"));
    let before = lab.ok(&shown).unwrap().stdout;
    let assert_used = || {
        assert_eq!(vlans(&lab), [sensor_on(&lab, 300)]);
        assert_eq!(lab.ok(&shown).unwrap().stdout, before);
    };
    for _ in 0..2 {
        let done = gc(&lab);
        let [(found, outcome, _)] = &done[..] else { panic!("{done:?}") };
        assert!(*found == vf && ["lost", "left"].contains(&outcome.as_str()), "{done:?}");
        assert_used();
        wait_for_failure(&lab, "sleeper");
    }
    assert_eq!(status(&lab, &sensor_vf(&lab)).0, "lost");
    lab.ok("docker rm -f sleeper").unwrap();
    assert_used();

    lab.ok(&with_dev(end)).unwrap();
    lab.ok("ip link set pf0 vf 0 vlan 0; ip link set pf0 vf 0 trust off").unwrap();
    lab.wait_until(EVENT_TIMEOUT, &format!("ls /sys/bus/pci/devices/{vf}/net && runvfctl gc"))
        .unwrap();
    assert_free(&lab, "after the foreign use");
    leave_host(lab, &untouched);
}

pub(crate) fn a_recreated_vf_in_another_netns_is_not_touched(host: HostKind) {
    a_recreated_vf_is_not_touched(
        host,
        &Use {
            begin: include_str!("../scripts/use_in_netns.sh"),
            show: "nsenter -n -t $(systemctl show -P MainPID other) ip -j -d link show",
            end: "systemctl stop other",
        },
    );
}

/// A netns with a name and without processes, as that of a router in the kernel.
pub(crate) fn a_recreated_vf_in_a_netns_without_processes_is_not_touched(host: HostKind) {
    a_recreated_vf_is_not_touched(
        host,
        &Use {
            begin: "ip netns add router; ip link set $dev netns router",
            show: "ip netns exec router ip -j -d link show",
            end: "ip netns del router",
        },
    );
}

/// The host uses it on a VLAN of its own.
pub(crate) fn a_recreated_vf_of_the_host_is_not_touched(host: HostKind) {
    a_recreated_vf_is_not_touched(
        host,
        &Use {
            begin: include_str!("../scripts/use_in_host.sh"),
            show: "ip -j -d link show $dev",
            end: "ip addr flush dev $dev; ip link set $dev down",
        },
    );
}

pub(crate) fn the_pf_loses_its_driver_and_gets_it_back(host: HostKind) {
    let (lab, _) = prepare(host);
    // As many as the host had before. On a busy machine, udev needs half a minute for the names of 32.
    configure(&lab, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nvfs = 7\n");
    start_sensor_and_sleeper(&lab);
    let driver = format!("/sys/bus/pci/drivers/{}", Card::of(&lab).pf_driver);
    lab.ok(&format!("echo 0000:01:00.0 > {driver}/unbind; ! ls /sys/class/net/pf0")).unwrap();
    wait_for_failure(&lab, "sensor");
    // The VF is shown although its PF is missing.
    let lost = status(&lab, &sleeper_vf(&lab));
    assert_eq!((lost.0.as_str(), lost.1.as_str()), ("attached", "the VF vanished"));
    assert_sleeper_is_stopped(&lab);
    let third = format!(
        "docker run --rm --network none --runtime runvf --annotation io.runvf.vlan=300 {IMAGE} true"
    );
    let refused = lab.sh(&third).unwrap();
    assert!(refused.stderr.contains("PF pf0 of pool `sensors` does not exist"), "{refused}");

    lab.ok(&format!("echo 0000:01:00.0 > {driver}/bind")).unwrap();
    lab.wait_until(EVENT_TIMEOUT, "[ -d /sys/class/net/pf0 ]").unwrap();
    let refused = lab.sh(&third).unwrap();
    assert!(refused.stderr.contains("PF pf0 is down"), "{refused}");
    lab.ok(&format!("ip link set pf0 up promisc on; {ALLOW_PROMISC}")).unwrap();
    lab.ok(&third).unwrap();
    remove_all(&lab);
}

fn a_netns_loses_its_name_and_its_process(host: HostKind) {
    let lab = prepared_on(host);
    functions(&lab);
    let untouched = state(&lab);
    for end in [
        "ip netns del rented; runvf kill c KILL; runvf delete --force c",
        "ip netns del rented; kill -9 $(cat /tmp/pid); runvfctl gc; runvf delete --force c",
        "kill -9 $(cat /tmp/pid); ip netns del rented; runvf delete --force c",
        "runvf kill c KILL; runvf delete --force c; ip netns del rented",
    ] {
        lab.ok(include_str!("../scripts/rented_netns.sh")).unwrap();
        assert_eq!(vlans(&lab), [sensor_on(&lab, 100)], "{end}");
        lab.ok(end).unwrap();
        assert_free(&lab, end);
    }
    leave(lab, &untouched);
}

/// Kills dockerd; systemd starts it again.
fn kill_dockerd(lab: &Lab) {
    lab.ok("pid=$(pidof dockerd); kill -9 $pid; while [ -d /proc/$pid ]; do sleep 0.1; done")
        .unwrap();
    lab.ok("systemctl reset-failed docker; systemctl start docker; docker ps -a").unwrap();
}

fn dockerd_is_killed_and_stops_its_containers(host: HostKind) {
    let (lab, untouched) = prepare(host);
    start_sensor(&lab);
    kill_dockerd(&lab);
    lab.wait_until(EVENT_TIMEOUT, "docker inspect -f '{{.State.Running}}' sensor | grep -qx false")
        .unwrap();
    assert_free(&lab, "when Docker says that the sensor has ended");
    remove_all(&lab);
    leave_host(lab, &untouched);
}

fn dockerd_is_killed_and_its_sensors_run_on(host: HostKind) {
    let (lab, _) = prepare(host);
    lab.ok(include_str!("../scripts/live_restore.sh")).unwrap();
    start_sensor(&lab);
    kill_dockerd(&lab);
    lab.ok("docker inspect -f '{{.State.Running}}' sensor | grep -qx true").unwrap();
    assert_eq!(vlans(&lab), [sensor_on(&lab, 100)]);
    assert_sensor_sees(&lab);
    remove_all(&lab);
}

pub(crate) fn the_host_is_reset_under_its_sensors(host: HostKind) {
    let (mut lab, _) = prepare(host);
    start_sensor_and_sleeper(&lab);
    // The file system of the image has no journal, and this test is not about files that Docker has
    // not written yet.
    lab.ok("sync").unwrap();
    lab.reset(Duration::from_secs(600)).unwrap();
    lab.wait_until(Duration::from_secs(300), "docker info && [ -d /sys/class/net/pf0 ]").unwrap();
    functions(&lab);
    assert_free(&lab, "after the boot");

    lab.ok(&format!("{ALLOW_PROMISC}; rm /var/log/sensor/mon0.pcap; docker start sensor")).unwrap();
    lab.wait_until(EVENT_TIMEOUT, CAPTURING).unwrap();
    let found = vlans(&lab);
    assert!(matches!(&found[..], [(100, true, _)]), "{found:?}");
    assert_sensor_sees(&lab);
    remove_all(&lab);
}

/// Starts a container on VLAN 200 that hides its VF by a program.
fn hide(lab: &Lab, program: &str) {
    lab.write("/tmp/hide", program).unwrap();
    lab.ok(&format!(
        "docker run -d --name sleeper --network none --runtime runvf --annotation io.runvf.vlan=200 --cap-add NET_ADMIN --cap-add SYS_ADMIN \
            -v /usr/bin/unshare:/usr/bin/unshare:ro -v /tmp/hide:/hide:ro {IMAGE} sh /hide"
    ))
    .unwrap();
}

/// An interface goes down when it moves, so the container sees nothing until the next gc.
fn assert_hidden_vf_is_re_armed(lab: &Lab) {
    let done = gc(lab);
    let [(vf, outcome, _)] = &done[..] else { panic!("{done:?}") };
    assert_eq!((vf.as_str(), outcome.as_str()), (sensor_vf(lab).as_str(), "re-armed"));
    assert_eq!(gc(lab), []);
    assert_eq!(vlans(lab), [sensor_on(lab, 200)]);
}

/// A container may move its interface into a netns of its own. The VF still belongs to the
/// container, and is released with it.
pub(crate) fn a_container_hides_its_vf_in_a_netns_of_its_own(host: HostKind) {
    let (lab, untouched) = prepare(host);
    hide(&lab, include_str!("../scripts/hide_in_netns.sh"));
    lab.wait_until(EVENT_TIMEOUT, "docker exec sleeper ls /tmp/hidden").unwrap();
    lab.ok("! docker exec sleeper ip link show mon0").unwrap();
    assert_hidden_vf_is_re_armed(&lab);
    remove_all(&lab);
    leave_host(lab, &untouched);
}

/// No process runs in this netns; a descriptor holds it.
pub(crate) fn a_container_hides_its_vf_behind_a_descriptor(host: HostKind) {
    let (lab, untouched) = prepare(host);
    hide(&lab, include_str!("../scripts/hide_behind_descriptor.sh"));
    if lab.wait_until(EVENT_TIMEOUT, "docker exec sleeper ls /tmp/hidden").is_err() {
        panic!("{}", lab.sh("docker logs sleeper").unwrap());
    }
    lab.ok("! docker exec sleeper ip link show mon0").unwrap();
    lab.ok(&format!("! ls /sys/bus/pci/devices/{}/net/*", sensor_vf(&lab))).unwrap();
    assert_hidden_vf_is_re_armed(&lab);
    remove_all(&lab);
    leave_host(lab, &untouched);
}

/// One `gc` turns it on again, and each sensor of the PF has an entry.
pub(crate) fn a_setting_of_the_pf_that_promiscuity_needs_is_turned_on_again(host: HostKind) {
    let (lab, untouched) = prepare(host);
    start_sensor_and_sleeper(&lab);
    let (off, is_on, why) = if Card::of(&lab).needs_private_flag() {
        (
            "ethtool --set-priv-flags pf0 vf-true-promisc-support off",
            "ethtool --show-priv-flags pf0 | grep -q 'vf-true-promisc-support *: on'",
            "the private flag vf-true-promisc-support of pf0 is off",
        )
    } else {
        (
            "ip link set pf0 promisc off",
            "ip link show pf0 | grep -q ',PROMISC,'",
            "igb delivers unknown unicast to VFs only while the PF itself is promiscuous",
        )
    };
    lab.ok(&format!("{is_on} && {off} && ! {is_on}")).unwrap();
    for vf in [sensor_vf(&lab), sleeper_vf(&lab)] {
        let (_, reason) = status(&lab, &vf);
        let expected = format!("it may not be promiscuous: {why}; run `runvfctl gc` to re-arm it");
        assert_eq!(reason, expected);
    }
    let done = gc(&lab);
    let done: Vec<_> =
        done.iter().map(|(vf, outcome, _)| (vf.as_str(), outcome.as_str())).collect();
    assert_eq!(done, [(&*sensor_vf(&lab), "re-armed"), (&*sleeper_vf(&lab), "re-armed")]);
    lab.ok(is_on).unwrap();
    assert_eq!(gc(&lab), []);
    let entries = "runvfctl audit --json | jq -c '[.[] | select(.event == \"blind\" and .since < .until) | [.vlan, .reason]]'";
    let reason = format!("another tool changed its PF: {why}");
    let expected = format!("[[100,\"{reason}\"],[200,\"{reason}\"]]");
    assert_eq!(lab.ok(entries).unwrap().text(), expected);
    assert_sensor_sees(&lab);
    remove_all(&lab);
    leave_host(lab, &untouched);
}

pub(crate) fn a_disabled_link_is_set_back(host: HostKind) {
    let (lab, untouched) = prepare(host);
    start_sensor(&lab);
    let carrier = |state: &str| {
        let inside = "nsenter -n -t $(docker inspect -f '{{.State.Pid}}' sensor) ip link show mon0";
        lab.wait_until(EVENT_TIMEOUT, &format!("{inside} | grep -q '[,<]{state}[,>]'")).unwrap();
    };
    lab.ok("ip link set pf0 vf 0 state disable").unwrap();
    carrier("NO-CARRIER");
    let what = "link state disable instead of link state auto";
    let (_, reason) = status(&lab, &sensor_vf(&lab));
    assert!(reason.contains(what), "{reason}");
    let done = gc(&lab);
    let [(vf, outcome, _)] = &done[..] else { panic!("{done:?}") };
    assert!(*vf == sensor_vf(&lab) && ["set back", "blind"].contains(&&**outcome), "{done:?}");
    carrier("LOWER_UP");
    // The carrier may have come back too late for that `gc`.
    let _ = gc(&lab);
    assert_eq!(gc(&lab), []);
    for (event, text) in [("changed", what), ("blind", "its ")] {
        let one = format!(
            "runvfctl audit --json | jq -e '[.[] | select(.event == \"{event}\")] | any(.reason | contains(\"{text}\"))'"
        );
        lab.ok(&one).unwrap();
    }
    assert_sensor_sees(&lab);
    remove_all(&lab);
    leave_host(lab, &untouched);
}

fn the_pf_goes_down_and_up(host: HostKind) {
    let (lab, untouched) = prepare(host);
    start_sensor(&lab);
    assert_sensor_sees(&lab);
    lab.ok("ip link set pf0 down").unwrap();
    let inside = "nsenter -n -t $(docker inspect -f '{{.State.Pid}}' sensor) ip link show mon0";
    if Card::of(&lab).pf_down_ends_carrier() {
        // The VF driver polls the link every two seconds. If the PF were up again before the next
        // poll, the VF would look up too early.
        lab.wait_until(EVENT_TIMEOUT, &format!("{inside} | grep -q NO-CARRIER")).unwrap();
    }
    assert_eq!(gc(&lab), [], "a VF is not lost while its link is down");
    lab.ok("ip link set pf0 up").unwrap();
    lab.wait_until(EVENT_TIMEOUT, &format!("{inside} | grep -q 'PROMISC.*LOWER_UP'")).unwrap();
    assert_eq!(vlans(&lab), [sensor_on(&lab, 100)]);
    assert_sensor_sees(&lab);
    remove_all(&lab);
    leave_host(lab, &untouched);
}

mod on_the_82576 {
    use crate::card::{I82576, tests_on};

    tests_on!(I82576, super:
        a_netns_loses_its_name_and_its_process,
        dockerd_is_killed_and_stops_its_containers,
        dockerd_is_killed_and_its_sensors_run_on,
        the_pf_goes_down_and_up,
        a_setting_of_the_pf_that_promiscuity_needs_is_turned_on_again,
    );
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super: the_pf_goes_down_and_up);
}
