//! A container's very first process finds its VF ready; when the container is gone, however it went, the VF is clean.

use crate::engine::{ALL, Engine, IMAGE, run, start};
use crate::host::{assert_clean, assert_untouched, leave, on_vlans, prepared, settle, state, vf};

const UP_BROADCAST_NOARP_PROMISC_ALLMULTI_MULTICAST: &str = "0x1383";

fn first_process_sees_mon0(engine: Engine) {
    let lab = prepared();
    let before = state(&lab);
    let look = "cat /sys/class/net/mon0/flags /sys/class/net/mon0/carrier";
    // Beside the engine's own interface, as it comes for whoever says nothing of networks.
    let output = run(&lab, engine, "--network bridge --annotation io.runvf.vlan=100", look);
    assert_eq!(
        (output.status, output.text()),
        (0, format!("{UP_BROADCAST_NOARP_PROMISC_ALLMULTI_MULTICAST}\n1").as_str()),
        "{output}"
    );
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

#[test]
fn first_process_sees_mon0_under_docker() {
    first_process_sees_mon0(Engine::Docker);
}

#[test]
fn first_process_sees_mon0_under_podman_with_hooks() {
    first_process_sees_mon0(Engine::PodmanHooks);
}

#[test]
fn first_process_sees_mon0_under_podman_with_runvf() {
    first_process_sees_mon0(Engine::PodmanRuntime);
}

/// Starts a sensor, looks at the PF, ends the sensor by `end`, and looks again.
fn ends_clean(engine: Engine, end: &str) {
    let lab = prepared();
    let before = state(&lab);
    start(&lab, engine, "sensor", "--annotation io.runvf.vlan=100");
    let shown = vf(&lab, "pf0", 0);
    assert_eq!(shown["vlan_list"][0]["vlan"], 100, "{shown}");
    assert_eq!(shown["trust"], true, "{shown}");
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);
    lab.ok("! ip link show enp1s0v0").unwrap();

    lab.ok(end).unwrap();
    lab.ok(&format!("{} rm -f sensor", engine.program())).unwrap();
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

#[test]
fn docker_rm_f_leaves_the_vf_clean() {
    ends_clean(Engine::Docker, "docker rm -f sensor");
}

#[test]
fn docker_stop_leaves_the_vf_clean() {
    ends_clean(Engine::Docker, "docker stop sensor; test -z \"$(ls -A /run/runvf/claims)\"");
}

#[test]
fn podman_rm_f_leaves_the_vf_clean() {
    ends_clean(Engine::PodmanHooks, "podman rm -f sensor");
}

#[test]
fn podman_rm_f_leaves_the_vf_clean_under_runvf() {
    ends_clean(Engine::PodmanRuntime, "podman rm -f sensor");
}

#[test]
fn the_end_of_the_process_leaves_the_vf_clean() {
    // By itself: nobody calls the engine.
    let kill = "kill -9 $(docker inspect -f '{{.State.Pid}}' sensor)
        for i in $(seq 200); do [ -z \"$(ls -A /run/runvf/claims)\" ] && exit; sleep 0.1; done; exit 1";
    ends_clean(Engine::Docker, kill);
    let kill = "kill -9 $(podman inspect -f '{{.State.Pid}}' sensor)
        for i in $(seq 200); do [ -z \"$(ls -A /run/runvf/claims)\" ] && exit; sleep 0.1; done; exit 1";
    ends_clean(Engine::PodmanHooks, kill);
}

/// What a container with CAP_NET_ADMIN does to its VF must not reach the next tenant.
#[test]
fn what_a_container_did_to_its_vf_is_gone() {
    let lab = prepared();
    let before = state(&lab);
    for engine in ALL {
        let mess = "ip link set mon0 down && ip link set mon0 name evil0 && ip link set evil0 mtu 1300 alias x \
            && ip link property add dev evil0 altname evil-altname && ip link set evil0 up promisc on \
            && ip addr add 10.9.9.9/24 dev evil0 && ip link show evil0 | grep -q 1300";
        let output = run(&lab, engine, "--cap-add NET_ADMIN --annotation io.runvf.vlan=100", mess);
        assert_eq!(output.status, 0, "{engine:?}: {output}");
        assert_untouched(&lab, &before);
        assert_clean(&lab, 0, "enp1s0v0");
        lab.ok("ip -d link show enp1s0v0 | grep -q 'mtu 1500'; ! ip link show enp1s0v0 | grep -E 'alias|evil'")
            .unwrap();
    }
    leave(lab, &before);
}

/// A host where nobody has made VFs yet: the first sensor has them made.
#[test]
fn the_first_sensor_of_a_pf_creates_its_vfs() {
    let lab = crate::host::installed();
    crate::host::configure(&lab, "pool = [{ name = \"a\", pfs = [\"pf0\"], vfs = 4 }]\n");
    let script = format!(
        "{} --rm --annotation io.runvf.vlan=7 {IMAGE} cat /sys/class/net/mon0/carrier",
        Engine::PodmanHooks.run()
    );
    assert_eq!(lab.ok(&script).unwrap().text(), "1");
    assert_eq!(lab.ok("cat /sys/class/net/pf0/device/sriov_numvfs").unwrap().text(), "4");
    settle(&lab, 4);
    assert_clean(&lab, 0, "enp1s0v0");
}

/// Nobody has ever used a VF here, and the kernel is not to bind drivers to them by itself: udev loads the driver while the
/// first sensor starts.
#[test]
fn the_first_sensor_waits_for_the_driver_of_its_vf() {
    let lab = crate::host::installed();
    crate::host::configure(&lab, "pool = [{ name = \"a\", pfs = [\"pf0\"], vfs = 2 }]\n");
    lab.ok(
        "! grep -q igbvf /proc/modules; echo 0 > /sys/class/net/pf0/device/sriov_drivers_autoprobe",
    )
    .unwrap();
    let output = run(
        &lab,
        Engine::PodmanHooks,
        "--annotation io.runvf.vlan=7",
        "cat /sys/class/net/mon0/carrier",
    );
    assert_eq!(output.text(), "1", "{output}");
    lab.ok("! [ -e /sys/class/net/pf0/device/virtfn0/driver ]").unwrap();
}
