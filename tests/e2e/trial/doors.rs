//! Every door on both NICs: start, stop, kills of the sensor and of the engine, kills of runvf's part
//! at each of its fault points; a restart of the host, and an upgrade and a downgrade of the package,
//! with a container of each door.

use std::collections::BTreeSet;
use std::time::Duration;

use lab::{HostKind, Lab, Nic, Programs, target_dir};

use crate::doors::{
    ACME, ALL, Door, SETTLED, assert_fault_met, assert_free, assert_free_after_gc, assert_sees,
    host, make_faulty, of_container, open_all, pool, prepare_fault, remove, start, start_again,
    try_start, wait_for_vf, with,
};
use crate::host::configure;

const SENSOR: &str = "sensor";

/// A container ends in each of the ways that are not a refusal, and starts again where its engine
/// does that.
fn a_door_starts_stops_and_crashes(lab: &Lab, door: Door) {
    let always = if matches!(door, Door::Pod | Door::Hand) { "" } else { "--restart always" };
    start(lab, door, SENSOR, always);
    assert_sees(lab, door, SENSOR);
    of_container(lab, "stop", door, SENSOR);
    assert_free(lab, &format!("{door:?}: after a stop"));
    start_again(lab, door, SENSOR);
    assert_sees(lab, door, SENSOR);

    of_container(lab, "kill_process", door, SENSOR);
    if !always.is_empty() {
        wait_for_vf(lab, door, SENSOR);
        assert_sees(lab, door, SENSOR);
    }
    remove(lab, door, SENSOR);
    assert_free_after_gc(lab, &format!("{door:?}: after a kill of the sensor"));

    start(lab, door, SENSOR, always);
    of_container(lab, "kill_engine", door, SENSOR);
    match door {
        // dockerd stops its containers, and starts them again.
        Door::Docker => wait_for_vf(lab, door, SENSOR),
        // Docker before 28.2 does not find the device at its start (moby#49989).
        Door::DockerCdi => start_again(lab, door, SENSOR),
        // Without its conmon, Podman starts no container by itself.
        Door::Podman | Door::Hooks | Door::PodmanCdi | Door::Network => {}
        // The shim of a pod lives on, and by hand there is no engine.
        Door::Pod | Door::Hand => assert_sees(lab, door, SENSOR),
    }
    remove(lab, door, SENSOR);
    assert_free_after_gc(lab, &format!("{door:?}: after a kill of the engine"));
}

fn each_door_starts_stops_and_crashes(kind: impl Into<HostKind>) {
    let lab = host(kind, Programs::Released, &(pool("\"pf0\"", 3) + ACME));
    for door in ALL {
        a_door_starts_stops_and_crashes(&lab, door);
    }
}

#[test]
fn each_door_starts_stops_and_crashes_on_the_82576() {
    each_door_starts_stops_and_crashes(Nic::Intel82576);
}

#[test]
fn each_door_starts_stops_and_crashes_on_the_x710() {
    each_door_starts_stops_and_crashes(Nic::IntelX710);
}

/// The fault points that the next call with the verb passes while `act` runs, without the reads:
/// nothing has changed since the point before a read.
fn points(lab: &Lab, verb: &str, act: impl FnOnce()) -> BTreeSet<String> {
    lab.ok("rm -f /run/trace").unwrap();
    prepare_fault(lab, verb, "RUNVF_FAULT_LOG=/run/trace");
    act();
    assert_fault_met(lab, verb);
    let trace = lab.ok("cat /run/trace").unwrap();
    let points: BTreeSet<String> = trace
        .stdout
        .lines()
        .filter(|point| !point.starts_with("read-"))
        .map(str::to_owned)
        .collect();
    assert!(points.len() >= 4, "{verb}: only {points:?}");
    points
}

/// runvf's part of a door is killed at the first passing of each point, of an attach and of a
/// release. No container runs without its VF, the engine can remove the container, no free VF is
/// dirty, and `gc` cleans up.
fn kills_at_each_point_leave_nothing(kind: impl Into<HostKind>, door: Door) {
    let lab = host(kind, Programs::WithFaultPoints, &(pool("\"pf0\"", 2) + ACME));
    make_faulty(&lab);
    let [attach, release] = door.verbs();
    let of_attach = points(&lab, attach, || start(&lab, door, SENSOR, ""));
    let of_release = points(&lab, release, || remove(&lab, door, SENSOR));
    assert_free(&lab, "after the traces");
    for point in &of_attach {
        let case = format!("{door:?}: attach, killed at {point}");
        prepare_fault(&lab, attach, &format!("RUNVF_FAULT={point}:1:kill"));
        let killed = try_start(&lab, door, SENSOR, 100);
        assert!(killed.status != 0, "{case}: {killed}");
        assert_fault_met(&lab, &case);
        let seen = lab.sh(&with(&format!("see {} {SENSOR}", door.name()))).unwrap();
        // A network namespace that was prepared by hand exists before the VF; nothing runs in it.
        assert!(seen.status != 0 || door == Door::Hand, "{case}: {seen}");
        remove(&lab, door, SENSOR);
        assert_free_after_gc(&lab, &case);
    }
    for point in &of_release {
        let case = format!("{door:?}: release, killed at {point}");
        start(&lab, door, SENSOR, "");
        assert_sees(&lab, door, SENSOR);
        prepare_fault(&lab, release, &format!("RUNVF_FAULT={point}:1:kill"));
        remove(&lab, door, SENSOR);
        assert_fault_met(&lab, &case);
        assert_free_after_gc(&lab, &case);
    }
    eprintln!(
        "{door:?}: {} points of an attach, {} of a release",
        of_attach.len(),
        of_release.len()
    );
}

/// Makes the tests of the kills, one for each door.
macro_rules! kills {
    ($module:ident, $nic:expr) => {
        mod $module {
            use lab::Nic;

            use super::{Door, kills_at_each_point_leave_nothing};

            kills!(@tests $nic,
                docker Docker, podman Podman, hooks Hooks, docker_cdi DockerCdi, podman_cdi PodmanCdi,
                network Network, pod Pod, by_hand Hand);
        }
    };
    (@tests $nic:expr, $($name:ident $door:ident),+) => {
        $(#[test]
        fn $name() {
            kills_at_each_point_leave_nothing($nic, Door::$door);
        })+
    };
}

kills!(kills_on_the_82576, Nic::Intel82576);
kills!(kills_on_the_x710, Nic::IntelX710);

/// A host with the package and its units, and a container of each door.
fn packaged(kind: impl Into<HostKind>) -> Lab {
    let lab = Lab::restore_with(kind).unwrap();
    let package = |name: &str| (target_dir().join(name), format!("/root/{name}"), 0o644);
    lab.push_tree(vec![package("one.deb"), package("two.deb")]).unwrap();
    lab.ok(
        "dpkg -i /root/one.deb; runvfctl install docker; runvfctl install podman; systemctl enable --now runvf-gc.timer; \
        systemctl enable runvf-setup.service podman-restart.service docker.service",
    )
    .unwrap();
    configure(&lab, &(pool("\"pf0\", \"pf1\"", 6) + ACME));
    open_all(&lab);
    for door in ALL {
        let always = if matches!(door, Door::Pod | Door::Hand) { "" } else { "--restart always" };
        start(&lab, door, door.name(), always);
        assert_sees(&lab, door, door.name());
    }
    lab
}

fn assert_all_see(lab: &Lab) {
    for door in ALL {
        assert_sees(lab, door, door.name());
    }
}

fn remove_all(lab: &Lab, case: &str) {
    for door in ALL {
        remove(lab, door, door.name());
    }
    assert_free_after_gc(lab, case);
}

fn containers_start_again_after_a_boot(kind: impl Into<HostKind>) {
    let mut lab = packaged(kind);
    let known =
        lab.ok("runvfctl doctor --json | jq -c '.[] | select(.check == \"docker-cdi-restart\")'");
    assert!(known.unwrap().text().contains("moby#49989"));
    // The file system of the image has no journal.
    lab.ok("sync").unwrap();
    lab.reset(Duration::from_secs(600)).unwrap();
    lab.wait_until(Duration::from_secs(300), "docker info && systemctl is-active runvf-setup")
        .unwrap();
    for door in ALL {
        if door.restarts() {
            wait_for_vf(&lab, door, door.name());
        } else if door == Door::Hand {
            // The namespace has ended with the boot.
            remove(&lab, door, door.name());
            start(&lab, door, door.name(), "");
        } else {
            start_again(&lab, door, door.name());
        }
    }
    assert_all_see(&lab);
    remove_all(&lab, "after a boot");
}

#[test]
fn containers_of_each_door_start_again_after_a_boot_on_the_82576() {
    containers_start_again_after_a_boot(Nic::Intel82576);
}

#[test]
fn containers_of_each_door_start_again_after_a_boot_on_the_x710() {
    containers_start_again_after_a_boot(Nic::IntelX710);
}

/// Both packages have the same programs, with different versions.
fn containers_outlive_other_versions(kind: impl Into<HostKind>) {
    let lab = packaged(kind);
    for (package, version) in [("two.deb", "+1"), ("one.deb", "")] {
        lab.ok(&format!("dpkg -i /root/{package}")).unwrap();
        let installed = lab.ok("dpkg-query -W -f '${Version}' runvf").unwrap();
        assert_eq!(installed.text().ends_with("+1"), version == "+1", "{installed}");
        assert_all_see(&lab);
        let refused = lab.sh("dpkg -r runvf").unwrap();
        assert!(
            refused.status != 0 && refused.stderr.contains("containers still have VFs"),
            "{package}: {refused}"
        );
        // Containers that the other version started are stopped and started by this one.
        for door in ALL {
            of_container(&lab, "stop", door, door.name());
            lab.wait_until(SETTLED, "[ $(ls /run/runvf/claims | wc -l) = 7 ]").unwrap();
            start_again(&lab, door, door.name());
        }
        assert_all_see(&lab);
    }
    remove_all(&lab, "after a downgrade");
    lab.ok("dpkg -r runvf").unwrap();
}

#[test]
fn containers_of_each_door_outlive_an_upgrade_and_a_downgrade_on_the_82576() {
    containers_outlive_other_versions(Nic::Intel82576);
}

#[test]
fn containers_of_each_door_outlive_an_upgrade_and_a_downgrade_on_the_x710() {
    containers_outlive_other_versions(Nic::IntelX710);
}
