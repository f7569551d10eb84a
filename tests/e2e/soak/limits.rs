//! Limits that change while a container runs, and a container that takes as much as it can.

use std::time::Duration;

use lab::Lab;

use crate::engine::{Engine, IMAGE, start};
use crate::hook_calls::assert_free;
use crate::host::{leave, prepared, state};

/// systemd makes the cgroups of the first two, runvf makes the cgroup of the third.
const RUNS: [&str; 3] = [
    "docker run --runtime runvf",
    "podman --runtime /usr/bin/runvf run",
    "podman --runtime /usr/bin/runvf --cgroup-manager cgroupfs run",
];

fn in_a_container(lab: &Lab, run: &str, options: &str, test: impl Fn(&Lab, &str)) {
    let engine = run.split(" run").next().unwrap_or_default();
    let engine = engine.strip_suffix(" --runtime runvf").unwrap_or(engine);
    lab.ok(&format!("{run} -d --name limited --network none {options} {IMAGE} sleep 1000"))
        .unwrap();
    test(lab, engine);
    lab.ok(&format!("{engine} rm -f limited")).unwrap();
}

/// The contents of files of the container's cgroup.
fn limits(lab: &Lab, engine: &str, files: &str) -> String {
    lab.ok(&format!(
        "cd /sys/fs/cgroup$(sed -n s/^0:://p /proc/$({engine} inspect -f '{{{{.State.Pid}}}}' limited)/cgroup); cat {files}"
    ))
    .unwrap()
    .text()
    .to_owned()
}

#[test]
fn limits_change_while_a_container_runs() {
    let lab = prepared();
    let before = state(&lab);
    for run in RUNS {
        in_a_container(&lab, run, "--cap-add MKNOD --memory 200m --cpus 0.5", |lab, engine| {
            let node = lab.ok("stat -c '%Hr %Lr' /dev/vda").unwrap();
            let read = format!(
                "{engine} exec limited sh -c 'rm -f /disk; mknod /disk b {} && head -c 512 /disk > /dev/null; \
                 head -c 1 /dev/zero | wc -c'",
                node.text()
            );
            let files = "memory.max memory.swap.max cpu.max pids.max cpu.weight";
            let before = limits(lab, engine, files);
            assert!(before.starts_with("209715200\n"), "{run}: {before}");
            assert!(before.contains("50000 100000"), "{run}: {before}");

            lab.ok(&format!(
                "{engine} update --memory 300m --memory-swap 600m --cpus 0.25 --pids-limit 77 limited"
            ))
            .unwrap();
            let after = limits(lab, engine, "memory.max memory.swap.max cpu.max pids.max");
            assert_eq!(after, "314572800\n314572800\n25000 100000\n77", "{run}");
            // A limit that the command does not name stays.
            lab.ok(&format!("{engine} update --cpu-shares 2048 limited")).unwrap();
            let after = limits(lab, engine, files);
            let rest = "314572800\n314572800\n25000 100000\n77\n";
            assert!(after.starts_with(rest) && after != before, "{run}: {after}");
            assert!(!before.ends_with(&after[rest.len()..]), "{run}: the weight: {after}");

            let output = lab.sh(&read).unwrap();
            assert!(output.stderr.contains("Operation not permitted"), "{run}: {output}");
            assert_eq!(output.text(), "1", "{run}: /dev/zero is readable: {output}");
        });
    }
    leave(lab, &before);
}

/// A container with very many links and open files must not delay the release of another one: the
/// work under the PF's lock does not depend on the links, and has a timeout for the rest.
#[test]
fn links_and_open_files_of_a_container_do_not_delay_the_removal_of_another_one() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/hoard.pl", include_str!("../scripts/hoard.pl")).unwrap();
    let seconds = |case: &str| {
        start(&lab, Engine::Docker, "victim", "--annotation io.runvf.vlan=100");
        let removed = lab
            .sh_within(
                Duration::from_secs(200),
                "SECONDS=0; docker rm -f victim > /dev/null; echo $SECONDS",
            )
            .unwrap();
        eprintln!("{case}: docker rm took {} s", removed.text());
        // A release that met the timeout is finished by gc.
        lab.sh("runvfctl gc").unwrap();
        removed.text().parse::<u32>().unwrap()
    };
    let alone = seconds("alone");
    // The second one doubles the open files. It makes no links, because making them takes minutes.
    for (name, links) in [("one", 10_000), ("two", 0)] {
        let hoard = format!(
            "perl /tmp/hoard.pl {links} 200000 /tmp/{name}.pid < /dev/null > /tmp/{name}.log 2>&1 &
             for second in $(seq 500); do ! grep -q ready /tmp/{name}.log || exit 0; sleep 1; done
             cat /tmp/{name}.log; exit 1"
        );
        let made = lab.sh_within(Duration::from_secs(600), &hoard).unwrap();
        assert_eq!(made.status, 0, "{made}");
        let took = seconds(&format!("beside {name} with {links} links and 200,000 open files"));
        assert!(took <= alone + 12, "{took} s, and {alone} s alone");
    }
    let end = "for name in one two; do pid=$(cat /tmp/$name.pid); kill -9 $pid; while [ -e /proc/$pid ]; do sleep 1; done; done";
    lab.sh_within(Duration::from_secs(300), end).unwrap();
    lab.wait_until(Duration::from_secs(120), "runvfctl gc; [ -z \"$(ls -A /run/runvf/claims)\" ]")
        .unwrap();
    assert_free(&lab, "after all");
    leave(lab, &before);
}
