//! Proof of the main promise: the first process of a container finds its VF ready, and the VF is
//! clean after the end of the container.

use lab::HostKind;

use crate::card::ALLOW_PROMISC;
use crate::engine::{Engine, IMAGE, run, start};
use crate::host::{
    assert_clean, assert_untouched, configure, installed_on, leave_set_up, on_vlans, set_up_on,
    settle, state, vf,
};

const UP_BROADCAST_NOARP_PROMISC_ALLMULTI_MULTICAST: &str = "0x1383";

fn the_first_process_finds_its_vf(host: HostKind, engine: Engine) {
    let lab = set_up_on(host);
    let before = state(&lab);
    let look = "cat /sys/class/net/mon0/flags /sys/class/net/mon0/carrier";
    // Beside the engine's own interface, which is the default of the engines.
    let output = run(&lab, engine, "--network bridge --annotation io.runvf.vlan=100", look);
    assert_eq!(
        (output.status, output.text()),
        (0, format!("{UP_BROADCAST_NOARP_PROMISC_ALLMULTI_MULTICAST}\n1").as_str()),
        "{output}"
    );
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave_set_up(lab, &before);
}

fn the_first_process_finds_its_vf_under_docker(host: HostKind) {
    the_first_process_finds_its_vf(host, Engine::Docker);
}

fn the_first_process_finds_its_vf_under_podman_with_hooks(host: HostKind) {
    the_first_process_finds_its_vf(host, Engine::PodmanHooks);
}

fn the_first_process_finds_its_vf_under_podman_with_runvf(host: HostKind) {
    the_first_process_finds_its_vf(host, Engine::PodmanRuntime);
}

/// Starts a sensor and ends it by the command `end`. Its VF has VLAN and trust, and is clean
/// afterwards.
pub(crate) fn assert_clean_after(host: HostKind, engine: Engine, end: &str) {
    let lab = set_up_on(host);
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
    leave_set_up(lab, &before);
}

fn docker_stop_leaves_a_clean_vf(host: HostKind) {
    assert_clean_after(
        host,
        Engine::Docker,
        "docker stop sensor; test -z \"$(ls -A /run/runvf/claims)\"",
    );
}

fn podman_rm_f_leaves_a_clean_vf(host: HostKind) {
    assert_clean_after(host, Engine::PodmanHooks, "podman rm -f sensor");
}

/// The PF has no VFs before.
fn the_first_sensor_of_a_pf_creates_its_vfs(host: HostKind) {
    let lab = installed_on(host);
    lab.ok(ALLOW_PROMISC).unwrap();
    configure(&lab, "pool = [{ name = \"a\", pfs = [\"pf0\"], vfs = 4 }]\n");
    let script = format!(
        "{} --rm --annotation io.runvf.vlan=7 {IMAGE} cat /sys/class/net/mon0/carrier",
        Engine::PodmanHooks.run()
    );
    assert_eq!(lab.ok(&script).unwrap().text(), "1");
    assert_eq!(lab.ok("cat /sys/class/net/pf0/device/sriov_numvfs").unwrap().text(), "4");
    settle(&lab, 4);
    assert_clean(&lab, 0, "enp1s0v0");
}

mod on_the_82576 {
    use crate::card::{I82576, tests_on};

    tests_on!(I82576, super:
        the_first_process_finds_its_vf_under_docker,
        the_first_process_finds_its_vf_under_podman_with_hooks,
        the_first_process_finds_its_vf_under_podman_with_runvf,
        docker_stop_leaves_a_clean_vf,
        podman_rm_f_leaves_a_clean_vf,
        the_first_sensor_of_a_pf_creates_its_vfs,
    );
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super:
        the_first_process_finds_its_vf_under_docker,
        the_first_process_finds_its_vf_under_podman_with_hooks,
        the_first_process_finds_its_vf_under_podman_with_runvf,
        docker_stop_leaves_a_clean_vf,
        podman_rm_f_leaves_a_clean_vf,
        the_first_sensor_of_a_pf_creates_its_vfs,
    );
}
