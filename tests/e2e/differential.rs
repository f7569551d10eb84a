//! Proof by comparison: generated bundles do the same with runvf as with runc, under both cgroup
//! drivers. The program `tests/differential` runs in the guest and prints each difference.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use lab::{Lab, Output};
use serde_json::Value;

use crate::host::{leave, prepared, state};
use crate::script::script;

const DRIVERS: [&str; 2] = ["cgroupfs", "systemd"];

const PROGRAM: &str = "/usr/local/bin/differential";
const REFERENCE: &str = "/usr/local/lib/differential/runc";
const CASES: &str = "/tmp/differential-cases";

/// The seeds of `make test`, about a minute. A slow machine may not finish the range, and a fast
/// machine does not exceed it.
const SEEDS: Range<u64> = 0..33;

/// For the bundle that runs when the time is over, and for shrinking.
const GRACE: Duration = Duration::from_secs(1200);

/// A host with the program and the reference. The guest's own runc is older, and differs from the
/// reference in what docs/engines.md says of such versions.
fn host() -> Lab {
    let lab = prepared();
    // The probe opens /dev/loop-control. The first time, this loads the module, which adds files.
    lab.ok("modprobe loop").unwrap();
    lab.push(env!("CARGO_BIN_EXE_differential"), PROGRAM).unwrap();
    lab.push(lab::build::reference_runc().unwrap(), REFERENCE).unwrap();
    lab
}

/// Runs the program, with `tested` as the tested runtime.
fn differential(lab: &Lab, tested: &str, options: &str, limit: Duration) -> Output {
    let command = format!(
        "{PROGRAM} --runtime runc={REFERENCE} --runtime runvf={tested} --runtime crun=$(command -v crun) --failures 3 {options}"
    );
    lab.sh_within(limit, &command).unwrap()
}

/// The last line of the output: the counts.
fn summary(output: &Output) -> Value {
    let last = output.text().lines().next_back().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|_| panic!("{output}"))
}

/// Compares bundles. Returns the number of different bundles, or the output if there is an unexplained
/// difference.
fn compare(lab: &Lab, options: &str, limit: Duration) -> Result<u64, String> {
    let output = differential(lab, "/usr/bin/runvf", options, limit);
    if !output.success() {
        return Err(format!("{options}\n{}\n{}", output.stdout, output.stderr));
    }
    let summary = summary(&output);
    eprintln!("{options}: {summary}");
    Ok(summary["distinct"].as_u64().unwrap())
}

/// Asserts that these bundles have no unexplained difference, and returns the number of different
/// bundles.
fn assert_same(lab: &Lab, options: &str, limit: Duration) -> u64 {
    compare(lab, options, limit).unwrap_or_else(|difference| panic!("{difference}"))
}

/// Compares the bundles of these seeds, for at most `seconds`.
pub(crate) fn generated_bundles_do_the_same_as_with_runc(seeds: Range<u64>, seconds: u64) {
    let lab = host();
    let before = state(&lab);
    let limit = Duration::from_secs(seconds) + GRACE;
    let Range { start, end } = seeds;
    let options = format!("--driver cgroupfs --seed {start}..{end} --seconds {seconds}");
    assert!(assert_same(&lab, &options, limit) > 0, "no bundle ran");
    leave(lab, &before);
}

/// Compares the bundles of these seeds, a few at a time because a command has a timeout. Returns
/// the number of different bundles. After a difference, the seeds of the later ranges still run, because
/// their differences would take as long to find again.
pub(crate) fn bundles_of_seeds_do_the_same_as_with_runc(driver: &str, seeds: Range<u64>) -> u64 {
    const AT_ONCE: u64 = 50;
    let lab = host();
    let before = state(&lab);
    let mut distinct = 0;
    let mut differences = Vec::new();
    for start in seeds.clone().step_by(AT_ONCE as usize) {
        let end = (start + AT_ONCE).min(seeds.end);
        let options = format!("--driver {driver} --seed {start}..{end}");
        match compare(&lab, &options, Duration::from_secs(AT_ONCE * 60) + GRACE) {
            Ok(more) => distinct += more,
            Err(difference) => differences.push(difference),
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    leave(lab, &before);
    distinct
}

#[test]
fn a_minute_of_generated_bundles_does_the_same_as_with_runc() {
    generated_bundles_do_the_same_as_with_runc(SEEDS, 60);
}

/// The cases in `tests/differential/cases` were found by the program and shrunk.
#[test]
fn the_saved_bundles_do_the_same_as_with_runc() {
    let lab = host();
    let before = state(&lab);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("differential/cases");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        lab.push(&path, &format!("{CASES}/{name}")).unwrap();
    }
    for driver in DRIVERS {
        let options = format!("--driver {driver} --no-shrink --case {CASES}/*.json");
        assert!(assert_same(&lab, &options, GRACE) > 0, "{driver}: no saved bundle ran");
    }
    leave(lab, &before);
}

/// Faults that are put in on purpose: a wrapper of runvf changes `config.json`. `plain.json` has no
/// mutation, and the bundles of seeds have.
const FAULTS: [(&str, &str, &str); 3] = [
    ("resources", "del(.linux.resources.pids)", "cgroup file pids.max"),
    (
        "mounts",
        "(.mounts[]? | select(.destination? == \"/tmp\").options) += [\"noexec\"]",
        "mount /tmp",
    ),
    ("process", "(.process.rlimits[0].soft) -= 1", "limit Max open files"),
];

/// Asserts that the program finds each fault in one of the bundles that the options name.
fn assert_faults_are_found(lab: &Lab, options: &str) {
    for (name, filter, key) in FAULTS {
        let path = format!("/usr/local/bin/faulty-{name}");
        // The kernel reads the interpreter from the first line.
        let program = script(include_str!("scripts/faulty_runtime.sh"), &[("filter", filter)]);
        lab.write(&path, format!("#!/bin/bash\n{program}")).unwrap();
        lab.ok(&format!("chmod +x {path}")).unwrap();
        let output = differential(lab, &path, options, GRACE);
        let found = output.stdout.contains(&format!("start: {key}: expected"));
        assert!(output.status == 1 && found, "{name}: {}\n{}", output.stdout, output.stderr);
        lab.ok(&format!("rm {path}")).unwrap();
    }
}

pub(crate) fn faults_are_found(options: &str) {
    let lab = host();
    let before = state(&lab);
    assert_faults_are_found(&lab, options);
    leave(lab, &before);
}

#[test]
fn faults_in_resources_mounts_and_the_process_are_found() {
    let lab = host();
    let before = state(&lab);
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("differential/cases/plain.json");
    lab.push(case, &format!("{CASES}/plain.json")).unwrap();
    assert_faults_are_found(&lab, &format!("--no-shrink --case {CASES}/plain.json"));
    leave(lab, &before);
}
