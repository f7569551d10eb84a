//! Limits that change while a container runs, and a container that takes as much as it can.

use std::time::Duration;

use lab::Lab;

use crate::engine::{Engine, IMAGE, start};
use crate::hook_calls::assert_free;
use crate::host::{leave, prepared, state};
use crate::script::script;

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

/// Removes a sensor beside a container that has `links` links and `files` open files, and then that
/// container. The work under the PF's lock does not depend on them, so both removals are complete
/// when the engine returns.
fn hoarders_do_not_delay_removals(links: usize, files: usize) {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/hoard.pl", include_str!("../scripts/hoard.pl")).unwrap();
    let removed = |name: &str, claims: &str| {
        let remove = format!("SECONDS=0; docker rm -f {name} > /dev/null; echo $SECONDS");
        let took = lab.sh_within(Duration::from_secs(200), &remove).unwrap();
        assert_eq!(
            lab.ok("ls /run/runvf/claims | wc -l").unwrap().text(),
            claims,
            "{name}: {took}"
        );
        eprintln!("docker rm {name}: {} s", took.text());
        took.text().parse::<u32>().unwrap()
    };
    let victim = || start(&lab, Engine::Docker, "victim", "--annotation io.runvf.vlan=100");
    victim();
    let alone = removed("victim", "0");
    let (links, files) = (links.to_string(), files.to_string());
    let parameters = [("image", IMAGE), ("links", &*links), ("files", &*files)];
    let hoard = script(include_str!("../scripts/hoard.sh"), &parameters);
    let made = lab.sh_within(Duration::from_secs(900), &hoard).unwrap();
    assert_eq!(made.status, 0, "{made}");
    victim();
    let took = removed("victim", "1");
    assert!(took <= alone + 12, "{took} s, and {alone} s alone");
    // The kernel removes the links one by one.
    removed("hoarder", "0");
    assert_free(&lab, "after all");
    leave(lab, &before);
}

#[test]
fn twenty_thousand_links_and_four_hundred_thousand_open_files_do_not_delay_removals() {
    hoarders_do_not_delay_removals(20_000, 400_000);
}
