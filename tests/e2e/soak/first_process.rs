//! More ends of a sensor that must leave a clean VF.

use lab::HostKind;

use crate::engine::{ALL, Engine, run};
use crate::first_process::assert_clean_after;
use crate::host::{
    assert_clean, assert_untouched, configure, installed, leave, prepared_on, state,
};
use crate::script::script;

fn docker_rm_f_leaves_a_clean_vf(host: HostKind) {
    assert_clean_after(host, Engine::Docker, "docker rm -f sensor");
}

fn podman_with_runvf_rm_f_leaves_a_clean_vf(host: HostKind) {
    assert_clean_after(host, Engine::PodmanRuntime, "podman rm -f sensor");
}

pub(crate) fn the_end_of_the_process_leaves_a_clean_vf(host: HostKind) {
    // No command of the engine is called.
    let kill = include_str!("../scripts/wait_for_release.sh");
    assert_clean_after(host, Engine::Docker, &script(kill, &[("engine", "docker")]));
    assert_clean_after(host, Engine::PodmanHooks, &script(kill, &[("engine", "podman")]));
}

/// What a container with CAP_NET_ADMIN does to its VF must not reach the next tenant.
pub(crate) fn changes_by_the_container_are_undone(host: HostKind) {
    let lab = prepared_on(host);
    let before = state(&lab);
    for engine in ALL {
        let change = include_str!("../scripts/change_vf.sh");
        let output =
            run(&lab, engine, "--cap-add NET_ADMIN --annotation io.runvf.vlan=100", change);
        assert_eq!(output.status, 0, "{engine:?}: {output}");
        assert_untouched(&lab, &before);
        assert_clean(&lab, 0, "enp1s0v0");
        lab.ok("ip -d link show enp1s0v0 | grep -q 'mtu 1500'; ! ip link show enp1s0v0 | grep -E 'alias|evil'")
            .unwrap();
    }
    leave(lab, &before);
}

/// The kernel has not loaded the VF driver yet, and does not bind drivers to VFs by itself. udev
/// loads the driver while the first sensor starts.
#[test]
fn the_first_sensor_waits_for_the_driver_of_its_vf() {
    let lab = installed();
    configure(&lab, "pool = [{ name = \"a\", pfs = [\"pf0\"], vfs = 2 }]\n");
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

mod on_the_82576 {
    use crate::card::{I82576, tests_on};

    tests_on!(I82576, super:
        docker_rm_f_leaves_a_clean_vf,
        podman_with_runvf_rm_f_leaves_a_clean_vf,
        the_end_of_the_process_leaves_a_clean_vf,
    );
}
