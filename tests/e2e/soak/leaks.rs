//! What processes and containers leave that come and go, four at a time, when none of them asks for a VF: nothing.

use std::time::{Duration, Instant};

use lab::Lab;

use crate::host::{leave, prepared, state};

/// In runs of 25, which no slow machine takes for a hang. With runc a few, for the test's own sake.
const EXECS: [(&str, usize); 2] = [("runc", 1), ("runvf", 40)];
const CONTAINERS: [(&str, usize); 2] = [("runc", 1), ("runvf", 8)];

const FUNCTIONS: &str = r#"
mkdir -p /tmp/m; cd /tmp/m
jq '.root.path = "/var/lib/runvf-bundles/tcpdump/rootfs" | .annotations = {} | .mounts |= map(select(.type != "bind"))
    | .process.args = ["sleep", "1000"]' /var/lib/runvf-bundles/tcpdump/config.json > config.json
run() { $r run -d --bundle /tmp/m $1 < /dev/null > /dev/null 2>&1; }
# What would grow if something were left over.
counts() {
    echo mounts: $(findmnt -rn | wc -l)
    echo processes: $(pgrep -c '^(runc|runvf|youki|sleep|true)')
    echo cgroups: $(find /sys/fs/cgroup -type d -name '*m*[0-9]*' | wc -l)
    echo states: $(find /run/runc /run/runvf -mindepth 1 ! -name '*.lock' 2> /dev/null | wc -l)
    echo temporary: $(find /tmp /var/tmp -maxdepth 1 | wc -l)
    echo namespaces: $(lsns -rno NS | sort -u | wc -l)
    echo keyrings: $(grep -c ' _ses[.]m' /proc/keys)
}
# Four at a time keep both CPUs busy.
some() { seq 25 | xargs -P 4 -I @ "$@" > /dev/null 2>> failed || echo "xargs: $?" >> failed; }
"#;

fn with(runtime: &str, script: &str) -> String {
    format!("r={runtime}; source /tmp/masses.sh; {script}")
}

/// Asserts that nothing is there that was not `before`, once the kernel is through with what it frees later.
fn many(lab: &Lab, runtime: &str, count: usize, command: &str) {
    lab.ok(&with(runtime, "rm -f failed; counts > before")).unwrap();
    let began = Instant::now();
    for _ in 0..count {
        lab.ok(&with(runtime, &format!("some {command}"))).unwrap();
    }
    eprintln!("{runtime}: {} in {} s", count * 25, began.elapsed().as_secs());
    let same = with(runtime, "counts > after; [ ! -s failed ] && diff before after");
    if lab.wait_until(Duration::from_secs(30), &same).is_err() {
        panic!(
            "{runtime}: {}",
            lab.sh(&with(runtime, "head -n 5 failed; diff before after")).unwrap()
        );
    }
}

#[test]
fn many_processes_in_a_container_leave_nothing() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/masses.sh", FUNCTIONS).unwrap();
    for (runtime, count) in EXECS {
        lab.ok(&with(runtime, "run m; $r exec m true < /dev/null")).unwrap();
        many(&lab, runtime, count, &format!("{runtime} exec m true"));
        lab.ok(&with(runtime, "$r delete -f m; rm -rf /tmp/m")).unwrap();
    }
    leave(lab, &before);
}

#[test]
fn many_containers_leave_nothing() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/masses.sh", FUNCTIONS).unwrap();
    for (runtime, count) in CONTAINERS {
        lab.ok(&with(runtime, "run m; $r delete -f m")).unwrap();
        let life = format!(
            "sh -c '{runtime} create --bundle . m@ && {runtime} start m@ && {runtime} delete -f m@'"
        );
        many(&lab, runtime, count, &life);
        lab.ok("rm -rf /tmp/m").unwrap();
    }
    leave(lab, &before);
}
