//! Proof for CDI devices: a container with the engine's own runtime gets its VF. `soak::cdi` has the
//! refusals, `trial::cdi` Compose, quadlets and restarts.

use std::time::Duration;

use lab::{Lab, Output};
use serde_json::Value;

use crate::card::I82576;
use crate::engine::IMAGE;
use crate::host::{Preparation, assert_clean, configure, leave_as, prepared, reused, state};

pub(crate) const POOL: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n";

/// The engines with their own runtimes, runc and crun.
pub(crate) const RUN: [&str; 2] =
    ["docker run --rm --network none", "podman run --rm --network none"];

const LOOK: &str = "for name in mon0 mon1 mon2; do [ ! -e /sys/class/net/$name ] || echo $name $(cat /sys/class/net/$name/ifalias \
     /sys/class/net/$name/carrier); done";

/// A host with the CDI devices of a configuration, and Docker with CDI on; and its state.
pub(crate) fn with_devices(config: &str) -> (Lab, String) {
    let lab = reused(I82576, Preparation::Cdi, || {
        let lab = prepared();
        enable_in_docker(&lab);
        lab
    });
    configure(&lab, config);
    lab.ok("runvfctl install cdi; rm -f /var/log/runvf/audit*").unwrap();
    let before = state(&lab);
    (lab, before)
}

/// Leaves a host [`with_devices`] to another test.
pub(crate) fn leave_with_devices(lab: Lab, before: &str) {
    lab.ok("runvfctl uninstall cdi").unwrap();
    leave_as(Preparation::Cdi, lab, before);
}

fn enable_in_docker(lab: &Lab) {
    lab.ok("jq '.features.cdi = true' /etc/docker/daemon.json > /tmp/new; cp /tmp/new /etc/docker/daemon.json; systemctl restart docker")
        .unwrap();
}

/// Waits until the engines have removed their containers, and each VF has been released.
pub(crate) fn wait_for_release(lab: &Lab) {
    lab.wait_until(Duration::from_secs(20), "[ -z \"$(ls /run/runvf/claims)\" ]").unwrap();
}

/// What a container with these options sees of its interfaces.
pub(crate) fn seen(lab: &Lab, run: &str, options: &str) -> Output {
    lab.sh(&format!("{run} {options} {IMAGE} sh -c '{LOOK}'")).unwrap()
}

pub(crate) fn finding(lab: &Lab, check: &str) -> Option<Value> {
    let output = lab.sh("runvfctl doctor --json").unwrap();
    let all: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output}"));
    all.as_array().unwrap().iter().find(|one| one["check"] == check).cloned()
}

#[test]
fn a_device_gives_a_vf_under_the_engines_own_runtime() {
    let lab = prepared();
    let before = state(&lab);
    configure(&lab, POOL);
    assert_eq!(finding(&lab, "cdi"), None);
    let output = lab.ok("runvfctl install cdi").unwrap();
    assert!(output.stdout.contains("cdi: wrote /etc/cdi/runvf-vlan.json\n"), "{output}");
    let off = finding(&lab, "docker-cdi").unwrap();
    assert_eq!(off["severity"], "failure", "{off}");
    enable_in_docker(&lab);
    assert_eq!(finding(&lab, "docker-cdi").unwrap()["severity"], "ok");
    // Debian 13 has Docker 26.1.
    let restart = finding(&lab, "docker-cdi-restart").unwrap();
    assert!(restart["evidence"].as_str().unwrap().contains("moby#49989"), "{restart}");

    for run in RUN {
        let output = seen(&lab, run, "--device runvf.io/vlan=100");
        assert_eq!((output.status, output.text()), (0, "mon0 vlan=100 1"), "{run}: {output}");
        let both = "--device runvf.io/vlan=100 --device runvf.io/vlan=200";
        let output = seen(&lab, run, both);
        assert_eq!(output.text(), "mon0 vlan=100 1\nmon1 vlan=200 1", "{run}: {output}");
        wait_for_release(&lab);
        assert_clean(&lab, 0, "enp1s0v0");
        assert_clean(&lab, 1, "enp1s0v1");
    }
    // The same VLAN by two doors is one VF, under the name that the annotation gives it.
    let output = seen(
        &lab,
        RUN[1],
        "--annotation io.runvf.vlan.mon2=100 --device runvf.io/vlan=100 --device runvf.io/vlan=300",
    );
    assert_eq!(output.text(), "mon0 vlan=300 1\nmon2 vlan=100 1", "{output}");
    wait_for_release(&lab);

    lab.ok("runvfctl uninstall cdi; [ -z \"$(ls /etc/cdi)\" ]").unwrap();
    assert_eq!(finding(&lab, "cdi"), None);
    for run in RUN {
        let output = seen(&lab, run, "--device runvf.io/vlan=100");
        assert!(output.status != 0 && output.stderr.contains("runvf.io/vlan=100"), "{output}");
    }
    leave_as(Preparation::Cdi, lab, &before);
}
