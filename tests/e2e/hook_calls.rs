//! Containers without an engine: a process in a netns of its own, and the hooks called for it as an
//! engine calls them.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lab::Lab;
use serde_json::Value;

use crate::switch::assert_switch_is_clean;

/// Writes the shell functions that [`with`] sources.
pub(crate) fn functions(lab: &Lab) {
    lab.write("/tmp/functions", include_str!("scripts/hook_calls.sh")).unwrap();
}

pub(crate) fn with(script: &str) -> String {
    format!("source /tmp/functions; {script}")
}

/// VLAN, trust and PCI address of each VF that has a VLAN, as its PF shows them.
pub(crate) fn vlans(lab: &Lab) -> Vec<(u64, bool, String)> {
    let all = lab.json(&with("vlans | jq -s .")).unwrap();
    let one = |vf: &Value| {
        Some((vf["vlan"].as_u64()?, vf["trust"].as_bool()?, vf["vf"].as_str()?.to_owned()))
    };
    all.as_array().unwrap().iter().map(|vf| one(vf).unwrap()).collect()
}

/// Asserts that each VF of each PF is clean and free, and in the host netns or parked, once udev and
/// the engines have finished.
pub(crate) fn assert_free(lab: &Lab, case: &str) {
    let free = lab.wait_until(Duration::from_secs(120), &with("[ -z \"$(dirty)\" ]"));
    if free.is_err() {
        panic!("{case}:\n{}", lab.sh(&with("dirty; runvfctl status")).unwrap());
    }
    assert_switch_is_clean(lab);
}

/// Runs `runvfctl gc`, and returns PCI address, outcome and container of each VF that it reports.
pub(crate) fn gc(lab: &Lab) -> Vec<(String, String, String)> {
    // A crowd's gc on the X710 cleans up to 64 VFs one after another, each for about a second.
    let timeout = Duration::from_secs(320);
    let output = lab.sh_within(timeout, "timeout 300 runvfctl gc --json").unwrap();
    let all: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output}"));
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let vfs = all.as_array().unwrap().iter();
    vfs.map(|one| (text(one, "vf"), text(one, "outcome"), text(one, "container"))).collect()
}

/// State and reason of a VF in `runvfctl status`.
pub(crate) fn status(lab: &Lab, vf: &str) -> (String, String) {
    let query = format!(
        "timeout 30 runvfctl status --json | jq '.[].vfs[] | select(.vf == \"{vf}\") | [.state, .reason // \"\"]'"
    );
    let found = lab.json(&query).unwrap();
    let text = |index: usize| found[index].as_str().unwrap().to_owned();
    (text(0), text(1))
}

/// The seed of the random choices: `RUNVF_SEED`, or another number each time.
pub(crate) fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 32768;
    let seed = env::var("RUNVF_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap());
    eprintln!("RUNVF_SEED={seed}");
    seed
}
