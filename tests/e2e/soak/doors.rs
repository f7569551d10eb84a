//! Each new door alike: a start, a refusal by the policy, a kill in the middle, and no free VF; the other
//! tests have that for the doors with annotations. All doors at once, for one tenant with a quota. And the
//! lines of README.md. `trial::doors` has all doors with all events.

use std::fs;
use std::path::Path;

use lab::{Lab, Nic, Programs};

use crate::doors::{
    ACME, ALL, Door, SETTLED, assert_fault_met, assert_free, assert_free_after_gc, assert_sees,
    host, make_faulty, pool, prepare_fault, refusals, remove, start, try_start, with,
};
use crate::engine::IMAGE;
use crate::host::configure;

/// The VLAN 200 of a door that was opened while it was a tenant's.
const BRAVO: &str = "[[tenant]]\nname = \"bravo\"\nvlans = [200]\nnamespaces = [\"acme\"]\n";

fn assert_refused(lab: &Lab, door: Door, vlan: u16, line: &str) {
    let before = refusals(lab).len();
    let refused = try_start(lab, door, "refused", vlan);
    assert!(refused.status != 0 && refused.stderr.contains(line), "{door:?}: {refused}");
    let recorded = refusals(lab).split_off(before);
    let [reason] = &recorded[..] else { panic!("{door:?}: {recorded:?}") };
    assert!(reason.contains(line), "{door:?}: {reason}");
    remove(lab, door, "refused");
}

fn a_door_gives_refuses_and_recovers(lab: &Lab, door: Door) {
    start(lab, door, "sensor", "");
    assert_sees(lab, door, "sensor");
    remove(lab, door, "sensor");
    assert_free(lab, &format!("{door:?}: after the first container"));

    // Not the engine refuses, because its files are older than this configuration.
    configure(lab, &(pool("\"pf0\"", 2) + ACME));
    let refused = match door {
        Door::Pod => "pods of namespace `acme` may not use VLAN 200",
        _ => "VLAN 200 is not assigned to any tenant",
    };
    assert_refused(lab, door, 200, refused);
    configure(lab, &(pool("\"pf0\"", 2) + ACME + BRAVO));
    assert_free(lab, &format!("{door:?}: after a refusal"));

    let case = format!("{door:?}: killed before the move");
    prepare_fault(lab, door.verbs()[0], "RUNVF_FAULT=move:1:kill");
    let killed = try_start(lab, door, "killed", 100);
    assert!(killed.status != 0, "{case}: {killed}");
    assert_fault_met(lab, &case);
    remove(lab, door, "killed");
    assert_free_after_gc(lab, &case);

    lab.ok(&with("hold_all_vfs")).unwrap();
    assert_refused(lab, door, 100, "no free VF in pool `sensors`");
    lab.ok(&with("release_all_vfs")).unwrap();
    assert_free(lab, &format!("{door:?}: after a refusal for want of a VF"));
}

fn doors_give_refuse_and_recover(doors: &[Door]) {
    let config = pool("\"pf0\"", 2) + ACME + BRAVO;
    let lab = host(Nic::Intel82576, Programs::WithFaultPoints, &config);
    make_faulty(&lab);
    for door in doors {
        a_door_gives_refuses_and_recovers(&lab, *door);
    }
}

#[test]
fn cdi_devices_and_networks_give_refuse_and_recover() {
    doors_give_refuse_and_recover(&[Door::DockerCdi, Door::PodmanCdi, Door::Network]);
}

#[test]
fn pods_and_vfs_by_hand_give_refuse_and_recover() {
    doors_give_refuse_and_recover(&[Door::Pod, Door::Hand]);
}

/// Starts one container of each door at the same time. The tenant may have four VFs.
#[test]
fn all_doors_at_once_keep_to_the_quota_of_their_tenant() {
    const QUOTA: usize = 4;
    let config = pool("\"pf0\"", 7) + ACME + &format!("max = {QUOTA}\n");
    let lab = host(Nic::Intel82576, Programs::Released, &config);
    let both_cpus = lab.use_both_cpus().unwrap();
    let started: Vec<(Door, bool)> = std::thread::scope(|scope| {
        let start = |door| {
            let lab = &lab;
            scope.spawn(move || {
                (door, try_start(lab, door, &format!("sensor-{}", door.name()), 100))
            })
        };
        let all = ALL.map(start);
        let ended = all.into_iter().map(|one| one.join().unwrap());
        let is_started = |(door, output): (Door, lab::Output)| {
            let refused = "asks for 1 more VF, but has 4 of at most 4";
            let is_refused = output.status != 0 && output.stderr.contains(refused);
            assert!(output.status == 0 || is_refused, "{door:?}: {output}");
            (door, output.status == 0)
        };
        ended.map(is_started).collect()
    });
    drop(both_cpus);
    let with_vf: Vec<Door> = started.iter().filter(|one| one.1).map(|one| one.0).collect();
    assert_eq!(with_vf.len(), QUOTA, "{started:?}");
    for door in &with_vf {
        assert_sees(&lab, *door, &format!("sensor-{}", door.name()));
    }
    let count = |event: &str| {
        let query = format!("map(select(.event == \"{event}\")) | length");
        lab.ok(&format!("runvfctl audit --json | jq '{query}'")).unwrap().text().to_owned()
    };
    assert_eq!((count("attached"), count("refused")), ("4".to_owned(), "4".to_owned()));
    for door in ALL {
        remove(&lab, door, &format!("sensor-{}", door.name()));
    }
    assert_free(&lab, "after all doors");
}

/// The lines of README.md for a door, each with the name of the door.
fn readme_lines() -> Vec<(String, String)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, block) = readme.split_once("A line to copy for each:\n\n").unwrap();
    let lines: Vec<&str> = block.lines().map_while(|line| line.strip_prefix("    ")).collect();
    let pairs = lines.chunks(2).map(|pair| {
        let [door, line] = pair else { panic!("{pair:?}") };
        (door.strip_prefix("# ").unwrap().to_owned(), (*line).to_owned())
    });
    pairs.collect()
}

/// The manifest as a request over CRI, because there is no kubectl in the guest: namespace, name and
/// annotations of the pod.
fn cri_request(manifest: &str) -> String {
    let value = |key: &str| {
        let found = manifest.lines().find_map(|line| line.trim().strip_prefix(key));
        found.unwrap_or_else(|| panic!("{key}")).trim().trim_matches('"').to_owned()
    };
    assert_eq!(value("runtimeClassName:"), "runvf");
    let (namespace, name) = (value("namespace:"), value("name:"));
    let annotations = ["io.runvf.vlan", "io.runvf.tenant"]
        .map(|key| format!("{key}={}", value(&format!("{key}:"))));
    let pod =
        format!("sandbox=$(cri-client pod runvf {namespace} {name} {})", annotations.join(" "));
    format!(
        "{pod}; container=$(cri-client create $sandbox sensor docker.io/{IMAGE}:latest); cri-client start $container"
    )
}

pub(crate) fn the_lines_of_the_readme_start_a_sensor_at_each_door() {
    let lab = host(Nic::Intel82576, Programs::Released, &(pool("\"pf0\"", 3) + ACME));
    let lines = readme_lines();
    let doors: Vec<&str> = lines.iter().map(|(door, _)| door.as_str()).collect();
    assert_eq!(doors, ["runtime", "hooks", "CDI", "network", "Kubernetes", "by hand"]);
    for (door, line) in lines {
        let line = match line
            .strip_prefix("kubectl apply -f docs/examples/kubernetes-runtimeclass.yaml -f ")
        {
            None => line.replace("IMAGE", IMAGE),
            Some(manifest) => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(manifest);
                cri_request(&fs::read_to_string(path).unwrap())
            }
        };
        // The command keeps the terminal until the sensor is stopped.
        lab.ok(&format!("({line}) > /tmp/line.log 2>&1 < /dev/null &")).unwrap();
        let attached =
            "any(.[].vfs[]; .state == \"attached\" and .settings.vlan == 100 and .settings.trust)";
        let seen = format!("runvfctl status --json | jq -e '{attached}'");
        let listens = "grep -qs mon0 /dev/null $(pgrep -x tcpdump | sed 's|.*|/proc/&/cmdline|')";
        if let Err(error) = lab.wait_until(SETTLED, &format!("{seen} && {listens}")) {
            panic!(
                "{door}: {line}: {error}\n{}",
                lab.sh("cat /tmp/line.log; runvfctl status").unwrap()
            );
        }
        lab.sh(
            "pkill -x tcpdump; docker rm -f $(docker ps -aq); podman rm -fa -t 5; podman network rm acme
            for pod in $(cri-client list | sed -n 's/^sandbox \\([^ ]*\\).*/\\1/p'); do cri-client remove-pod $pod; done
            [ ! -e /run/netns/acme ] || { runvfctl release acme; ip netns del acme; }",
        )
        .unwrap();
        assert_free(&lab, &door);
    }
}
