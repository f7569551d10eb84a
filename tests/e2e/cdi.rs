//! Proof for CDI devices: a container with the engine's own runtime gets its VF, and each refusal
//! of runvf reaches the user.

use std::time::Duration;

use lab::{Lab, Output};
use serde_json::Value;

use crate::card::I82576;
use crate::engine::IMAGE;
use crate::host::{
    Preparation, assert_clean, configure, leave_as, on_vlans, prepared, reused, state,
};

const POOL: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n";
const TENANTS: &str = "[[tenant]]\nname = \"acme\"\nvlans = [100]\n\
    [[tenant]]\nname = \"bravo\"\nvlans = [\"200-201\"]\nmax = 1\n";

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

pub(crate) fn enable_in_docker(lab: &Lab) {
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

fn finding(lab: &Lab, check: &str) -> Option<Value> {
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

#[test]
fn a_refusal_of_a_device_reaches_the_user() {
    let (lab, before) = with_devices(&(POOL.to_owned() + TENANTS));
    for run in RUN {
        let output = seen(&lab, run, "--device runvf.io/tenant=acme");
        assert_eq!(output.text(), "mon0 vlan=100 tenant=acme 1", "{run}: {output}");
    }
    // bravo has two VLANs, so its name says too little.
    let names = lab.ok("jq -c '[.devices[].name]' /etc/cdi/runvf-*.json").unwrap();
    assert_eq!(names.text(), "[\"acme\"]\n[\"100\",\"200\",\"201\"]");
    for run in RUN {
        let refused = |options: &str, line: &str| {
            let run = if options.contains("--network") {
                &run.replace("--network none", "")
            } else {
                run
            };
            let output = seen(&lab, run, options);
            assert!(output.status != 0 && output.stdout.is_empty(), "{run} {options}: {output}");
            assert!(output.stderr.contains(line), "{run} {options}: {output}");
        };
        let quota = "the tenant of VLAN 201 asks for 1 more VF, but has 1 of at most 1";
        refused("--device runvf.io/vlan=200 --device runvf.io/vlan=201", quota);
        // All VFs of a container belong to one tenant.
        let tenants = "already holds another tenant's VF";
        refused("--device runvf.io/vlan=200 --device runvf.io/vlan=100", tenants);
        refused("--network host --device runvf.io/vlan=100", "host's network namespace");
        // The engine itself refuses a device that no file has.
        refused("--device runvf.io/vlan=400", "runvf.io/vlan=400");
        lab.ok("runvfctl gc").unwrap();
        assert!(on_vlans(&lab, "pf0").is_empty());
    }
    let events = lab.json("runvfctl audit --json").unwrap();
    let events = events.as_array().unwrap().iter();
    assert_eq!(events.filter(|entry| entry["event"] == "refused").count(), 6);

    // The files are older than the configuration, which decides.
    configure(&lab, &(POOL.to_owned() + "[[tenant]]\nname = \"civic\"\nvlans = [100]\n"));
    let stale = finding(&lab, "cdi").unwrap();
    assert!(stale["evidence"].as_str().unwrap().starts_with("stale"), "{stale}");
    for run in RUN {
        let output = seen(&lab, run, "--device runvf.io/tenant=acme");
        let line = "tenant `acme` asks for VLAN 100, but this host has no such tenant";
        assert!(output.status != 0 && output.stderr.contains(line), "{run}: {output}");
    }
    lab.ok("runvfctl setup").unwrap();
    assert_eq!(finding(&lab, "cdi").unwrap()["severity"], "ok");
    // dockerd notices the new files.
    let output = seen(&lab, RUN[0], "--device runvf.io/tenant=civic");
    assert_eq!(output.text(), "mon0 vlan=100 tenant=civic 1", "{output}");
    lab.ok("cp /etc/cdi/runvf-vlan.json /etc/cdi/other.json").unwrap();
    let twice = finding(&lab, "cdi").unwrap();
    assert_eq!(
        (&twice["severity"], &twice["mend"]),
        (&"failure".into(), &"remove /etc/cdi/other.json".into())
    );
    lab.ok("rm /etc/cdi/other.json").unwrap();
    leave_with_devices(lab, &before);
}
