//! Limits that change while a container runs.

use lab::Lab;

use crate::engine::IMAGE;
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
