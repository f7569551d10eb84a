//! Proof under events of the host: VFs, PFs, drivers and namespaces of running sensors vanish and
//! come back, and settings change.

use std::time::Duration;

use lab::traffic::Traffic;
use lab::{HostKind, Lab};

use crate::card::{ALLOW_PROMISC, Card};
use crate::engine::{Engine, IMAGE, start};
use crate::hook_calls::{assert_free, functions, gc, status, vlans};
use crate::host::{
    Preparation, configure, installed_on, leave, leave_as, prepared_on, reused, settle, state,
};

pub(crate) const EVENT_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const CAPTURING: &str = "[ -s /var/log/sensor/mon0.pcap ]";

/// A host with seven VFs of pf0, and its state.
pub(crate) fn prepare(host: HostKind) -> (Lab, String) {
    let lab = reused(host, Preparation::SevenVfs, || {
        let lab = installed_on(host);
        lab.ok(ALLOW_PROMISC).unwrap();
        configure(&lab, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n");
        lab.ok("echo 7 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
        settle(&lab, 7);
        functions(&lab);
        lab
    });
    lab.ok("rm -rf /var/log/sensor /var/log/runvf/audit*").unwrap();
    let before = state(&lab);
    (lab, before)
}

pub(crate) fn leave_host(lab: Lab, before: &str) {
    leave_as(Preparation::SevenVfs, lab, before);
}

/// Starts tcpdump on VLAN 100, which writes to `/var/log/sensor`. It ends by itself if its
/// interface vanishes.
pub(crate) fn start_sensor(lab: &Lab) {
    lab.ok(&format!(
        "mkdir -p /var/log/sensor
         docker run -d --name sensor --network none --runtime runvf --annotation io.runvf.vlan=100 -v /var/log/sensor:/var/log/sensor {IMAGE}"
    ))
    .unwrap();
    lab.wait_until(EVENT_TIMEOUT, CAPTURING).unwrap();
}

/// As [`sensor`], and starts a container on VLAN 200 that never uses its interface.
pub(crate) fn start_sensor_and_sleeper(lab: &Lab) {
    start_sensor(lab);
    start(lab, Engine::Docker, "sleeper", "--annotation io.runvf.vlan=200");
    assert_eq!(vlans(lab), [sensor_on(lab, 100), sleeper_on(lab, 200)]);
}

/// The first VF, which the sensor gets, as [`vlans`] shows it on a VLAN.
pub(crate) fn sensor_on(lab: &Lab, vlan: u64) -> (u64, bool, String) {
    (vlan, true, sensor_vf(lab))
}

/// The same of the second VF, which the sleeper gets.
pub(crate) fn sleeper_on(lab: &Lab, vlan: u64) -> (u64, bool, String) {
    (vlan, true, sleeper_vf(lab))
}

pub(crate) fn sensor_vf(lab: &Lab) -> String {
    Card::of(lab).vf(0)
}

pub(crate) fn sleeper_vf(lab: &Lab) -> String {
    Card::of(lab).vf(1)
}

/// Waits until the container has ended with an exit status other than 0.
pub(crate) fn wait_for_failure(lab: &Lab, name: &str) {
    let failed = "{{if .State.Running}}running{{else}}{{.State.ExitCode}}{{end}}";
    let script = format!("docker inspect -f '{failed}' {name} | grep -qxE '[1-9][0-9]*'");
    lab.wait_until(EVENT_TIMEOUT, &script).unwrap();
}

/// Asserts that `gc` finds the lost VF of the sleeper, and stops the sleeper.
pub(crate) fn assert_sleeper_is_stopped(lab: &Lab) {
    let done = gc(lab);
    let id = lab.ok("docker inspect -f '{{.Id}}' sleeper").unwrap();
    let lost = (sleeper_vf(lab), "lost".to_owned(), id.text().to_owned());
    assert!(done.contains(&lost), "{done:?}");
    wait_for_failure(lab, "sleeper");
}

pub(crate) fn remove_all(lab: &Lab) {
    lab.ok("docker rm -f $(docker ps -aq)").unwrap();
    assert_free(lab, "after docker rm");
}

/// Asserts that frames on VLAN 100 reach the sensor, and frames on VLAN 200 do not.
pub(crate) fn assert_sensor_sees(lab: &Lab) {
    let traffic = Traffic::new().send_all(&[Some(100), Some(200)], &[], 5);
    traffic.play(lab, "mirror0").unwrap();
    traffic.wait_for_end(lab, "/var/log/sensor/mon0.pcap", Some(100)).unwrap();
    let seen = lab.pull("/var/log/sensor/mon0.pcap").unwrap();
    let verdict = traffic.judge(&seen, |flow| flow.vlan == Some(100)).unwrap();
    assert_eq!(verdict.on_vlan(Some(200)), 0, "{verdict}");
}

/// Two containers run in a netns that outlives both, as that of a pod does. Each release releases
/// only the container's own VF, although younger processes run in the netns; and the interface of a
/// killed container does not block its name for a third one.
pub(crate) fn a_netns_outlives_its_containers(host: HostKind) {
    let lab = prepared_on(host);
    functions(&lab);
    let untouched = state(&lab);
    lab.ok(include_str!("scripts/shared_netns.sh")).unwrap();
    let start = |n: u32| {
        lab.ok(&format!("runvf create --bundle /tmp/c{n} --pid-file /tmp/pid{n} c{n} </dev/null >/dev/null 2>&1; runvf start c{n}")).unwrap();
    };
    start(1);
    start(2);
    assert_eq!(vlans(&lab), [sensor_on(&lab, 100), sleeper_on(&lab, 200)]);
    lab.ok("kill -9 $(cat /tmp/pid1); runvf delete --force c1").unwrap();
    assert_eq!(
        vlans(&lab),
        [sleeper_on(&lab, 200)],
        "the first VF is released while the second container lives"
    );

    start(1);
    // No release is called for the killed container.
    lab.ok("kill -9 $(cat /tmp/pid1); while kill -0 $(cat /tmp/pid1); do :; done 2>/dev/null; ip -n rented link show mon1").unwrap();
    start(3);
    assert_eq!(vlans(&lab), [sensor_on(&lab, 300), sleeper_on(&lab, 200)]);
    lab.ok(
        "for n in 1 2 3; do runvf delete --force c$n; done; ip netns del rented; rm -r /tmp/c[123]",
    )
    .unwrap();
    assert_free(&lab, "after all were deleted");
    leave(lab, &untouched);
}

/// The sensor would see only its own frames and broadcast, or nothing.
pub(crate) fn promiscuity_that_is_turned_off_inside_is_turned_on_again(host: HostKind) {
    let (lab, untouched) = prepare(host);
    start_sensor_and_sleeper(&lab);
    assert_eq!(gc(&lab), []);
    let inside = |change: &str| {
        lab.ok(&format!(
            "nsenter -n -t $(docker inspect -f '{{{{.State.Pid}}}}' sleeper) ip link {change}"
        ))
        .unwrap()
    };
    for (change, why) in [
        ("set mon0 promisc off allmulticast off", "its interface was not promiscuous"),
        ("set mon0 down", "its interface was down"),
    ] {
        inside(change);
        let (_, reason) = status(&lab, &sleeper_vf(&lab));
        assert_eq!(
            reason,
            format!("it may not be promiscuous: {why}; run `runvfctl gc` to re-arm it")
        );
        let done = gc(&lab);
        let [(vf, outcome, _)] = &done[..] else { panic!("{done:?}") };
        assert_eq!((vf.as_str(), outcome.as_str()), (sleeper_vf(&lab).as_str(), "re-armed"));
        let shown = inside("show mon0");
        for flag in ["PROMISC", "ALLMULTI", "UP"] {
            assert!(shown.stdout.contains(flag), "{shown}");
        }
        assert_eq!(gc(&lab), []);
        let shown = lab.ok("runvfctl status").unwrap();
        let gap = format!("{} may have been blind from ", sleeper_vf(&lab));
        assert!(shown.stdout.contains(&gap) && shown.stdout.contains(why), "{shown}");
    }
    let blind = "runvfctl audit --json | jq -c '[.[] | select(.event == \"blind\") | [.vlan, .interface, .since < .until]]'";
    assert_eq!(lab.ok(blind).unwrap().text(), "[[200,\"mon0\",true],[200,\"mon0\",true]]");
    remove_all(&lab);
    leave_host(lab, &untouched);
}

/// An operator changes the wrong VF, for example. The sensor would see the frames of another
/// tenant.
pub(crate) fn a_changed_vlan_and_trust_are_set_back(host: HostKind) {
    let (lab, untouched) = prepare(host);
    start_sensor(&lab);
    lab.ok("ip link set pf0 vf 0 vlan 300; ip link set pf0 vf 0 trust off").unwrap();
    let what = "VLAN 300 instead of VLAN 100, trust off instead of trust on";
    let shown = lab.ok("runvfctl status").unwrap();
    let line = format!(
        "{} is attached: changed outside runvf: {what}; run `runvfctl gc` to restore it",
        sensor_vf(&lab)
    );
    assert!(shown.stdout.lines().any(|shown| shown == line), "{shown}");
    let changed = gc(&lab);
    let [(vf, outcome, _)] = &changed[..] else { panic!("{changed:?}") };
    assert_eq!((vf.as_str(), outcome.as_str()), (sensor_vf(&lab).as_str(), "set back"));
    assert_eq!(vlans(&lab), [sensor_on(&lab, 100)]);
    assert_eq!(gc(&lab), []);
    lab.ok("docker inspect -f '{{.State.Running}}' sensor | grep -qx true").unwrap();
    assert_sensor_sees(&lab);
    let audited = lab.ok("runvfctl audit").unwrap();
    // On the X710 the change was a reset of the VF, and the gap of the sensor has an entry, too.
    let blind = usize::from(Card::of(&lab).parks);
    for (event, count) in [("attached", 1), ("changed", 1), ("blind", blind)] {
        let entries =
            audited.stdout.lines().filter(|line| line.split_whitespace().nth(2) == Some(event));
        assert_eq!(entries.count(), count, "{event}: {audited}");
    }
    assert!(audited.stdout.contains(what), "{audited}");
    remove_all(&lab);
    leave_host(lab, &untouched);
}

pub(crate) fn vfs_are_destroyed_and_created_again(host: HostKind) {
    let (lab, untouched) = prepare(host);
    start_sensor_and_sleeper(&lab);
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
    wait_for_failure(&lab, "sensor");
    let (state, reason) = status(&lab, &sleeper_vf(&lab));
    assert_eq!(state, "attached", "{reason}");
    assert!(reason.contains("vanished"), "{reason}");

    lab.ok("echo 7 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
    settle(&lab, 7);
    start(&lab, Engine::Docker, "third", "--annotation io.runvf.vlan=300");
    let found = vlans(&lab);
    assert!(matches!(&found[..], [(300, true, vf)] if *vf != sleeper_vf(&lab)), "{found:?}");
    assert_sleeper_is_stopped(&lab);
    assert_eq!(vlans(&lab), found, "the third container keeps its VF");
    remove_all(&lab);
    leave_host(lab, &untouched);
}

pub(crate) fn the_vf_loses_its_driver(host: HostKind) {
    let (lab, untouched) = prepare(host);
    start_sensor_and_sleeper(&lab);
    lab.ok(&format!(
        "for vf in {} {}; do echo $vf > /sys/bus/pci/devices/$vf/driver/unbind; done",
        sensor_vf(&lab),
        sleeper_vf(&lab)
    ))
    .unwrap();
    wait_for_failure(&lab, "sensor");
    assert_sleeper_is_stopped(&lab);
    remove_all(&lab);
    leave_host(lab, &untouched);
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super:
        a_netns_outlives_its_containers,
        promiscuity_that_is_turned_off_inside_is_turned_on_again,
        a_changed_vlan_and_trust_are_set_back,
        vfs_are_destroyed_and_created_again,
        the_vf_loses_its_driver,
    );
}
