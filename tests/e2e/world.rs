//! What happens around running sensors: VFs, PFs, drivers, namespaces and daemons go away under them and come back.

use std::time::Duration;

use lab::Lab;
use lab::traffic::Traffic;

use crate::engine::{Engine, IMAGE, start};
use crate::holder::{assert_free, functions, gc, status, vlans};
use crate::host::{
    Kind, configure, installed, leave, leave_one_of, one_of, prepared, settle, state,
};

const SENSOR_VF: &str = "0000:01:10.0";
const SLEEPER_VF: &str = "0000:01:10.2";
const SOON: Duration = Duration::from_secs(60);
const CAPTURING: &str = "[ -s /var/log/sensor/mon0.pcap ]";

/// A host whose pf0 has all its VFs, and the host's state.
fn host() -> (Lab, String) {
    let lab = one_of(Kind::SevenVfs, || {
        let lab = installed();
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

fn leave_as(lab: Lab, before: &str) {
    leave_one_of(Kind::SevenVfs, lab, before);
}

/// tcpdump on VLAN 100, writing to `/var/log/sensor`. It ends by itself when its interface goes.
fn sensor(lab: &Lab) {
    lab.ok(&format!(
        "mkdir -p /var/log/sensor
         docker run -d --name sensor --network none --runtime runvf --annotation io.runvf.vlan=100 -v /var/log/sensor:/var/log/sensor {IMAGE}"
    ))
    .unwrap();
    lab.wait_until(SOON, CAPTURING).unwrap();
}

/// As [`sensor`], and a container on VLAN 200 that does not care for its interface.
fn sensor_and_sleeper(lab: &Lab) {
    sensor(lab);
    start(lab, Engine::Docker, "sleeper", "--annotation io.runvf.vlan=200");
    assert_eq!(vlans(lab), [on(100, SENSOR_VF), on(200, SLEEPER_VF)]);
}

fn on(vlan: u64, vf: &str) -> (u64, bool, String) {
    (vlan, true, vf.to_owned())
}

/// That the container has ended, and its engine knows that not all was well.
fn wait_for_failure(lab: &Lab, name: &str) {
    let failed = "{{if .State.Running}}running{{else}}{{.State.ExitCode}}{{end}}";
    let script = format!("docker inspect -f '{failed}' {name} | grep -qxE '[1-9][0-9]*'");
    lab.wait_until(SOON, &script).unwrap();
}

/// `gc` finds that the sleeper has lost its VF, stops it, and nothing is left of either container.
fn sleeper_is_stopped(lab: &Lab) {
    let done = gc(lab);
    let id = lab.ok("docker inspect -f '{{.Id}}' sleeper").unwrap();
    let lost = (SLEEPER_VF.to_owned(), "lost".to_owned(), id.text().to_owned());
    assert!(done.contains(&lost), "{done:?}");
    wait_for_failure(lab, "sleeper");
}

fn all_removed(lab: &Lab) {
    lab.ok("docker rm -f $(docker ps -aq)").unwrap();
    assert_free(lab, "after docker rm");
}

/// That what is sent on VLAN 100 reaches the sensor.
fn assert_sensor_sees(lab: &Lab) {
    let traffic = Traffic::new().send_all(&[Some(100), Some(200)], &[], 5);
    traffic.play(lab, "mirror0").unwrap();
    traffic.wait_for_end(lab, "/var/log/sensor/mon0.pcap", Some(100)).unwrap();
    let seen = lab.pull("/var/log/sensor/mon0.pcap").unwrap();
    let verdict = traffic.judge(&seen, |flow| flow.vlan == Some(100)).unwrap();
    assert_eq!(verdict.on_vlan(Some(200)), 0, "{verdict}");
}

#[test]
fn vfs_are_destroyed_and_made_again() {
    let (lab, untouched) = host();
    sensor_and_sleeper(&lab);
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
    wait_for_failure(&lab, "sensor");
    let (state, reason) = status(&lab, SLEEPER_VF);
    assert_eq!(state, "attached", "{reason}");
    assert!(reason.contains("vanished"), "{reason}");

    lab.ok("echo 7 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
    settle(&lab, 7);
    start(&lab, Engine::Docker, "third", "--annotation io.runvf.vlan=300");
    let found = vlans(&lab);
    assert!(matches!(&found[..], [(300, true, vf)] if vf != SLEEPER_VF), "{found:?}");
    sleeper_is_stopped(&lab);
    assert_eq!(vlans(&lab), found, "the third container keeps its own");
    all_removed(&lab);
    leave_as(lab, &untouched);
}

/// A VF has the address of one that was destroyed, and another tool has given it away: the container has lost its own, and this one is not
/// touched. `give` puts the interface `$dev` where `look` shows it, and `end` is the end of that.
fn made_again_for_another(give: &str, look: &str, end: &str) {
    let (lab, untouched) = host();
    start(&lab, Engine::Docker, "sleeper", "--annotation io.runvf.vlan=200");
    assert_eq!(vlans(&lab), [on(200, SENSOR_VF)]);
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_numvfs; echo 7 > /sys/class/net/pf0/device/sriov_numvfs")
        .unwrap();
    settle(&lab, 7);
    lab.ok(&format!(
        "dev=$(ls /sys/bus/pci/devices/{SENSOR_VF}/net); {give}
         ip link set pf0 vf 0 vlan 300; ip link set pf0 vf 0 trust on"
    ))
    .unwrap();
    let theirs = format!("{look} | jq 'map(del(.stats64))'");
    let before = lab.ok(&theirs).unwrap().stdout;
    let assert_theirs = || {
        assert_eq!(vlans(&lab), [on(300, SENSOR_VF)]);
        assert_eq!(lab.ok(&theirs).unwrap().stdout, before);
    };
    for _ in 0..2 {
        let done = gc(&lab);
        let [(vf, outcome, _)] = &done[..] else { panic!("{done:?}") };
        assert!(vf == SENSOR_VF && ["lost", "left"].contains(&outcome.as_str()), "{done:?}");
        assert_theirs();
        wait_for_failure(&lab, "sleeper");
    }
    assert_eq!(status(&lab, SENSOR_VF).0, "lost");
    lab.ok("docker rm -f sleeper").unwrap();
    assert_theirs();

    lab.ok(&format!("{end}; ip link set pf0 vf 0 vlan 0; ip link set pf0 vf 0 trust off")).unwrap();
    lab.wait_until(SOON, &format!("ls /sys/bus/pci/devices/{SENSOR_VF}/net && runvfctl gc"))
        .unwrap();
    assert_free(&lab, "after the other's end");
    leave_as(lab, &untouched);
}

#[test]
fn a_vf_that_was_made_again_is_another_s() {
    made_again_for_another(
        "systemd-run --quiet --unit other unshare -n sleep 100000
         until [ \"$(readlink /proc/$(systemctl show -P MainPID other)/ns/net)\" != \"$(readlink /proc/self/ns/net)\" ]; do sleep 0.05; done
         ip link set $dev netns $(systemctl show -P MainPID other)",
        "nsenter -n -t $(systemctl show -P MainPID other) ip -j -d link show",
        "systemctl stop other",
    );
}

/// By somebody who lives nowhere: a namespace that has a name and no process, as a router's in the kernel.
#[test]
fn a_vf_that_was_made_again_is_in_a_namespace_without_processes() {
    made_again_for_another(
        "ip netns add router; ip link set $dev netns router",
        "ip netns exec router ip -j -d link show",
        "ip netns del router",
    );
}

/// By the host, on a VLAN of its own.
#[test]
fn a_vf_that_was_made_again_is_the_host_s() {
    let home = format!("$(ls /sys/bus/pci/devices/{SENSOR_VF}/net)");
    made_again_for_another(
        "ip link set $dev up; ip addr add 10.9.9.9/24 dev $dev; until ip link show $dev | grep -q LOWER_UP; do sleep 0.1; done",
        &format!("ip -j -d link show {home}"),
        &format!("ip addr flush dev {home}; ip link set {home} down"),
    );
}

#[test]
fn the_pf_loses_its_driver_and_gets_it_back() {
    let (lab, _) = host();
    sensor_and_sleeper(&lab);
    lab.ok("echo 0000:01:00.0 > /sys/bus/pci/drivers/igb/unbind; ! ls /sys/class/net/pf0").unwrap();
    wait_for_failure(&lab, "sensor");
    // Although there is no PF to show it with.
    let lost = status(&lab, SLEEPER_VF);
    assert_eq!((lost.0.as_str(), lost.1.as_str()), ("attached", "the VF vanished"));
    sleeper_is_stopped(&lab);
    let third = format!(
        "docker run --rm --network none --runtime runvf --annotation io.runvf.vlan=300 {IMAGE} true"
    );
    let refused = lab.sh(&third).unwrap();
    assert!(
        refused.stderr.contains("PF pf0 of pool `sensors` is not on this machine"),
        "{refused}"
    );

    lab.ok("echo 0000:01:00.0 > /sys/bus/pci/drivers/igb/bind").unwrap();
    lab.wait_until(SOON, "[ -d /sys/class/net/pf0 ]").unwrap();
    let refused = lab.sh(&third).unwrap();
    assert!(refused.stderr.contains("PF pf0 is down"), "{refused}");
    lab.ok("ip link set pf0 up promisc on").unwrap();
    lab.ok(&third).unwrap();
    all_removed(&lab);
}

#[test]
fn the_pf_goes_down_and_up() {
    let (lab, untouched) = host();
    sensor(&lab);
    assert_sensor_sees(&lab);
    lab.ok("ip link set pf0 down").unwrap();
    let inside = "nsenter -n -t $(docker inspect -f '{{.State.Pid}}' sensor) ip link show mon0";
    // The VF's driver looks every two seconds. If it were up again before that, the VF would look well, and see nothing yet.
    lab.wait_until(SOON, &format!("{inside} | grep -q NO-CARRIER")).unwrap();
    assert_eq!(gc(&lab), [], "a link that is down is no loss");
    lab.ok("ip link set pf0 up").unwrap();
    lab.wait_until(SOON, &format!("{inside} | grep -q 'PROMISC.*LOWER_UP'")).unwrap();
    assert_eq!(vlans(&lab), [on(100, SENSOR_VF)]);
    assert_sensor_sees(&lab);
    all_removed(&lab);
    leave_as(lab, &untouched);
}

#[test]
fn the_vf_loses_its_driver() {
    let (lab, untouched) = host();
    sensor_and_sleeper(&lab);
    lab.ok(&format!(
        "for vf in {SENSOR_VF} {SLEEPER_VF}; do echo $vf > /sys/bus/pci/drivers/igbvf/unbind; done"
    ))
    .unwrap();
    wait_for_failure(&lab, "sensor");
    sleeper_is_stopped(&lab);
    all_removed(&lab);
    leave_as(lab, &untouched);
}

#[test]
fn the_namespace_loses_its_name_and_then_its_process() {
    let lab = prepared();
    functions(&lab);
    let untouched = state(&lab);
    let create = "bundle=/var/lib/runvf-bundles/tcpdump; mkdir -p /tmp/b; ip netns add rented
        jq \".root.path = \\\"$bundle/rootfs\\\" |
            (.linux.namespaces[] | select(.type == \\\"network\\\")).path = \\\"/run/netns/rented\\\"\" \
            $bundle/config.json > /tmp/b/config.json
        runvf create --bundle /tmp/b --pid-file /tmp/pid c </dev/null >/tmp/log 2>&1; runvf start c
        nsenter -n -t $(cat /tmp/pid) ip link show mon0";
    for end in [
        "ip netns del rented; runvf kill c KILL; runvf delete --force c",
        "ip netns del rented; kill -9 $(cat /tmp/pid); runvfctl gc; runvf delete --force c",
        "kill -9 $(cat /tmp/pid); ip netns del rented; runvf delete --force c",
        "runvf kill c KILL; runvf delete --force c; ip netns del rented",
    ] {
        lab.ok(create).unwrap();
        assert_eq!(vlans(&lab), [on(100, SENSOR_VF)], "{end}");
        lab.ok(end).unwrap();
        assert_free(&lab, end);
    }
    leave(lab, &untouched);
}

/// Two containers in a namespace that outlives both, as of a pod: each gives back its own VF and no other, though the processes in
/// it are younger; and what a killed one left there does not keep a third from its name.
#[test]
fn a_namespace_outlives_its_containers() {
    let lab = prepared();
    functions(&lab);
    let untouched = state(&lab);
    lab.ok("ip netns add rented; bundle=/var/lib/runvf-bundles/tcpdump
        for n in 1 2 3; do
            mkdir /tmp/c$n; name=mon$((n % 2)); jq \".root.path = \\\"$bundle/rootfs\\\" | .process.args = [\\\"sleep\\\", \\\"1000\\\"] |
                del(.linux.namespaces[] | select(.type == \\\"pid\\\")) | .annotations = {\\\"io.runvf.vlan.$name\\\": \\\"${n}00\\\"} |
                (.linux.namespaces[] | select(.type == \\\"network\\\")).path = \\\"/run/netns/rented\\\"\" \
                $bundle/config.json > /tmp/c$n/config.json
        done")
        .unwrap();
    let start = |n: u32| {
        lab.ok(&format!("runvf create --bundle /tmp/c{n} --pid-file /tmp/pid{n} c{n} </dev/null >/dev/null 2>&1; runvf start c{n}")).unwrap();
    };
    start(1);
    start(2);
    assert_eq!(vlans(&lab), [on(100, SENSOR_VF), on(200, SLEEPER_VF)]);
    lab.ok("kill -9 $(cat /tmp/pid1); runvf delete --force c1").unwrap();
    assert_eq!(vlans(&lab), [on(200, SLEEPER_VF)], "the first is back though the second lives");

    start(1);
    // Nobody says that it is gone.
    lab.ok("kill -9 $(cat /tmp/pid1); while kill -0 $(cat /tmp/pid1); do :; done 2>/dev/null; ip -n rented link show mon1").unwrap();
    start(3);
    assert_eq!(vlans(&lab), [on(300, SENSOR_VF), on(200, SLEEPER_VF)]);
    lab.ok(
        "for n in 1 2 3; do runvf delete --force c$n; done; ip netns del rented; rm -r /tmp/c[123]",
    )
    .unwrap();
    assert_free(&lab, "after all were deleted");
    leave(lab, &untouched);
}

/// Docker's own daemon, killed; systemd starts it anew.
fn dockerd_dies(lab: &Lab) {
    lab.ok("pid=$(pidof dockerd); kill -9 $pid; while [ -d /proc/$pid ]; do sleep 0.1; done")
        .unwrap();
    lab.ok("systemctl reset-failed docker; systemctl start docker; docker ps -a").unwrap();
}

#[test]
fn dockerd_dies_and_stops_its_containers_when_it_is_back() {
    let (lab, untouched) = host();
    sensor(&lab);
    dockerd_dies(&lab);
    lab.wait_until(SOON, "docker inspect -f '{{.State.Running}}' sensor | grep -qx false").unwrap();
    assert_free(&lab, "when Docker calls it ended");
    all_removed(&lab);
    leave_as(lab, &untouched);
}

#[test]
fn dockerd_dies_and_finds_its_sensors_alive() {
    let (lab, _) = host();
    lab.ok("jq '.[\"live-restore\"] = true' /etc/docker/daemon.json > /tmp/daemon.json
            cp /tmp/daemon.json /etc/docker/daemon.json; systemctl reload docker
            docker info -f '{{.LiveRestoreEnabled}}' | grep -qx true")
        .unwrap();
    sensor(&lab);
    dockerd_dies(&lab);
    lab.ok("docker inspect -f '{{.State.Running}}' sensor | grep -qx true").unwrap();
    assert_eq!(vlans(&lab), [on(100, SENSOR_VF)]);
    assert_sensor_sees(&lab);
    all_removed(&lab);
}

#[test]
fn a_host_is_reset_under_its_sensors() {
    let (mut lab, _) = host();
    sensor_and_sleeper(&lab);
    // The image's file system has no journal; what Docker has not written yet is not the question here.
    lab.ok("sync").unwrap();
    lab.reset(Duration::from_secs(600)).unwrap();
    lab.wait_until(Duration::from_secs(300), "docker info && [ -d /sys/class/net/pf0 ]").unwrap();
    functions(&lab);
    assert_free(&lab, "after the boot");

    lab.ok("rm /var/log/sensor/mon0.pcap; docker start sensor").unwrap();
    lab.wait_until(SOON, CAPTURING).unwrap();
    let found = vlans(&lab);
    assert!(matches!(&found[..], [(100, true, _)]), "{found:?}");
    assert_sensor_sees(&lab);
    all_removed(&lab);
}

/// A container may hand its interface on to a namespace of its own. It is the container's still, and comes back with it.
#[test]
fn a_container_hides_its_vf_in_a_namespace_of_its_own() {
    let (lab, untouched) = host();
    let hide = "unshare -n sleep 100000 & until [ $(readlink /proc/$!/ns/net) != $(readlink /proc/self/ns/net) ]; do :; done
        ip link set mon0 netns $!; touch /tmp/hidden; wait";
    lab.ok(&format!(
        "docker run -d --name sleeper --network none --runtime runvf --annotation io.runvf.vlan=200 \
            --cap-add NET_ADMIN --cap-add SYS_ADMIN -v /usr/bin/unshare:/usr/bin/unshare:ro {IMAGE} sh -c '{hide}'"
    ))
    .unwrap();
    lab.wait_until(SOON, "docker exec sleeper ls /tmp/hidden").unwrap();
    lab.ok("! docker exec sleeper ip link show mon0").unwrap();
    assert_eq!(gc(&lab), []);
    assert_eq!(vlans(&lab), [on(200, SENSOR_VF)]);
    all_removed(&lab);
    leave_as(lab, &untouched);
}

/// The same, without a process in it: a descriptor holds it.
#[test]
fn a_container_hides_its_vf_behind_a_descriptor() {
    let (lab, untouched) = host();
    let hide = "unshare -n sleep 100000 &
        until [ $(readlink /proc/$!/ns/net) != $(readlink /proc/self/ns/net) ]; do :; done
        exec 9< /proc/$!/ns/net; ip link set mon0 netns $!; kill -9 $!; wait || true; touch /tmp/hidden; exec sleep 100000";
    lab.write("/tmp/hide", hide).unwrap();
    lab.ok(&format!(
        "docker run -d --name sleeper --network none --runtime runvf --annotation io.runvf.vlan=200 --cap-add NET_ADMIN --cap-add SYS_ADMIN \
            -v /usr/bin/unshare:/usr/bin/unshare:ro -v /tmp/hide:/hide:ro {IMAGE} sh -e /hide"
    ))
    .unwrap();
    if lab.wait_until(SOON, "docker exec sleeper ls /tmp/hidden").is_err() {
        panic!("{}", lab.sh("docker logs sleeper").unwrap());
    }
    lab.ok("! docker exec sleeper ip link show mon0").unwrap();
    lab.ok("! ls /sys/bus/pci/devices/0000:01:10.0/net/*").unwrap();
    assert_eq!(gc(&lab), []);
    assert_eq!(vlans(&lab), [on(200, SENSOR_VF)]);
    all_removed(&lab);
    leave_as(lab, &untouched);
}

/// By hand, say, on the wrong VF. What the sensor sees then is another tenant's.
#[test]
fn somebody_changes_vlan_and_trust_under_a_sensor() {
    let (lab, untouched) = host();
    sensor(&lab);
    lab.ok("ip link set pf0 vf 0 vlan 300; ip link set pf0 vf 0 trust off").unwrap();
    let what = "VLAN 300 instead of VLAN 100, trust off instead of trust on";
    let shown = lab.ok("runvfctl status").unwrap();
    let told =
        format!("0000:01:10.0 is attached: changed outside runvf: {what}; run `runvfctl gc` to restore it");
    assert!(shown.stdout.lines().any(|line| line == told), "{shown}");
    let taken_back = gc(&lab);
    let [(vf, outcome, _)] = &taken_back[..] else { panic!("{taken_back:?}") };
    assert_eq!((vf.as_str(), outcome.as_str()), ("0000:01:10.0", "set back"));
    assert_eq!(vlans(&lab), [on(100, SENSOR_VF)]);
    assert_eq!(gc(&lab), []);
    lab.ok("docker inspect -f '{{.State.Running}}' sensor | grep -qx true").unwrap();
    assert_sensor_sees(&lab);
    let audited = lab.ok("runvfctl audit").unwrap();
    for event in ["attached", "changed"] {
        assert_eq!(audited.stdout.matches(event).count(), 1, "{audited}");
    }
    assert!(audited.stdout.contains(what), "{audited}");
    all_removed(&lab);
    leave_as(lab, &untouched);
}
