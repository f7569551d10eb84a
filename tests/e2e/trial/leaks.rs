//! Proof that nothing leaks: processes and containers come and go, four at a time and without a VF,
//! and leave nothing.

use std::time::{Duration, Instant};

use lab::Lab;

use crate::host::{leave, prepared, state};

/// The size of a batch in `scripts/leaks.sh`: so small that a slow machine does not run into the
/// timeout of a command.
const BATCH: usize = 25;

fn with(runtime: &str, script: &str) -> String {
    format!("runtime={runtime}; source /tmp/leaks.sh; {script}")
}

/// Runs batches of a command and asserts that the counts of leftovers are the same again, once the
/// kernel has freed what it frees later.
fn assert_no_leftovers(lab: &Lab, runtime: &str, batches: usize, command: &str) {
    lab.ok(&with(runtime, "rm -f failed; count_leftovers > before")).unwrap();
    let began = Instant::now();
    for _ in 0..batches {
        lab.ok(&with(runtime, &format!("batch {command}"))).unwrap();
    }
    eprintln!("{runtime}: {} in {} s", batches * BATCH, began.elapsed().as_secs());
    let same = with(runtime, "count_leftovers > after; [ ! -s failed ] && diff before after");
    if lab.wait_until(Duration::from_secs(30), &same).is_err() {
        panic!(
            "{runtime}: {}",
            lab.sh(&with(runtime, "head -n 5 failed; diff before after")).unwrap()
        );
    }
}

/// Runs one batch with runc, which checks the test itself, and then `batches` with runvf.
fn execs_leave_nothing(batches: usize) {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/leaks.sh", include_str!("../scripts/leaks.sh")).unwrap();
    for (runtime, batches) in [("runc", 1), ("runvf", batches)] {
        lab.ok(&with(runtime, "run m; $runtime exec m true < /dev/null")).unwrap();
        assert_no_leftovers(&lab, runtime, batches, &format!("{runtime} exec m true"));
        lab.ok(&with(runtime, "$runtime delete -f m; rm -rf /tmp/m")).unwrap();
    }
    leave(lab, &before);
}

/// As [`execs_leave_nothing`], with whole containers.
fn containers_leave_nothing(batches: usize) {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/leaks.sh", include_str!("../scripts/leaks.sh")).unwrap();
    for (runtime, batches) in [("runc", 1), ("runvf", batches)] {
        lab.ok(&with(runtime, "run m; $runtime delete -f m")).unwrap();
        let life = format!(
            "sh -c '{runtime} create --bundle . m@ && {runtime} start m@ && {runtime} delete -f m@'"
        );
        assert_no_leftovers(&lab, runtime, batches, &life);
        lab.ok("rm -rf /tmp/m").unwrap();
    }
    leave(lab, &before);
}

#[test]
fn five_thousand_execs_leave_nothing() {
    execs_leave_nothing(200);
}

#[test]
fn a_thousand_containers_leave_nothing() {
    containers_leave_nothing(40);
}
