//! Limits that are changed while a container runs, and what it uses.

use lab::Lab;
use serde_json::Value;

use crate::engine::IMAGE;
use crate::host::{leave, prepared, state};

/// systemd makes the cgroups of the first two, runvf those of the third.
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

/// The files of the container's cgroup, one value each.
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
            // What is not named stays: one limit is never changed at the cost of another.
            lab.ok(&format!("{engine} update --cpu-shares 2048 limited")).unwrap();
            let after = limits(lab, engine, files);
            let rest = "314572800\n314572800\n25000 100000\n77\n";
            assert!(after.starts_with(rest) && after != before, "{run}: {after}");
            assert!(!before.ends_with(&after[rest.len()..]), "{run}: the weight: {after}");

            let output = lab.sh(&read).unwrap();
            assert!(output.stderr.contains("Operation not permitted"), "{run}: {output}");
            assert_eq!(output.text(), "1", "{run}: what every container may read: {output}");
        });
    }
    leave(lab, &before);
}

#[test]
fn what_a_container_uses_is_printed_as_runc_does() {
    let lab = prepared();
    let before = state(&lab);
    let bundle = "/var/lib/runvf-bundles/tcpdump";
    lab.ok(&format!(
        "mkdir /tmp/b
         jq '.root.path = \"{bundle}/rootfs\" | .mounts |= map(select(.type != \"bind\")) | .annotations = {{}} | .process.args = [\"sleep\", \"1000\"]' {bundle}/config.json > /tmp/b/config.json
         runvf run -d --bundle /tmp/b c </dev/null >/dev/null 2>&1"
    ))
    .unwrap();
    // From one of the same kind that runc has made.
    lab.ok("runc run -d --bundle /tmp/b r </dev/null >/dev/null 2>&1").unwrap();
    let (ours, runcs) = (lab.json("runvf events --stats c"), lab.json("runc events --stats r"));
    let (ours, runcs) = (ours.unwrap(), runcs.unwrap());
    assert_eq!((&ours["type"], &ours["id"]), (&"stats".into(), &"c".into()), "{ours}");
    for path in ["/data/memory/usage/usage", "/data/pids/current", "/data/cpu/usage/total"] {
        let number = |stats: &Value| stats.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        assert!(number(&ours) > 0 && number(&runcs) > 0, "{path}: {ours} {runcs}");
    }
    for key in ["cpu", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"] {
        assert!(ours["data"].get(key).is_some() && runcs["data"].get(key).is_some(), "{key}");
    }
    // One object a line, until the container ends.
    let lines = lab.ok(
        "runvf events --interval 200ms c > /tmp/events & events=$!
         until [ $(wc -l < /tmp/events) -ge 2 ]; do sleep 0.1; done; runvf kill c KILL; wait $events
         jq -r .type /tmp/events | sort -u; ! runvf events --stats c; runvf delete c; runc delete -f r",
    );
    assert_eq!(lines.unwrap().text(), "stats");
    lab.ok("runvf run -d --bundle /tmp/b c </dev/null >/dev/null 2>&1").unwrap();
    lab.ok("runvf update --memory 64m --memory-swap -1 --pids-limit 9 c").unwrap();
    lab.ok("cd /sys/fs/cgroup$(sed -n s/^0:://p /proc/$(runvf state c | jq .pid)/cgroup)
         [ $(cat memory.max) = 67108864 ] && [ $(cat pids.max) = 9 ]")
        .unwrap();
    let output = lab.sh("runvf update --memory-swap 1m c").unwrap();
    assert!(output.stderr.contains("is lower than the memory limit (67108864)"), "{output}");
    lab.ok("runvf delete -f c; rm -r /tmp/b /tmp/events").unwrap();
    leave(lab, &before);
}
