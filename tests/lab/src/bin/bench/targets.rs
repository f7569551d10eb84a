//! The targets. The report shows whether each is met; a missed one does not fail the benchmark.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::statistics::Statistics;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Target {
    pub(crate) what: &'static str,
    /// The upper limit.
    pub(crate) target: f64,
    pub(crate) measured: f64,
    /// Empty for a ratio.
    pub(crate) unit: &'static str,
}

impl Target {
    pub(crate) fn is_met(&self) -> bool {
        self.measured <= self.target
    }
}

/// Sizes of the programs in bytes.
pub(crate) struct Sizes {
    pub(crate) runvf: u64,
    pub(crate) hook: u64,
}

/// Compares the cases and sizes with the targets. Returns `None` if a case was not measured.
pub(crate) fn targets(all: &BTreeMap<String, Statistics>, sizes: &Sizes) -> Option<Vec<Target>> {
    let median = |name: &str| all.get(name).map(|statistics| statistics.median);
    let ratio = |one: &str, other: &str| Some(median(one)? / median(other)?);
    let peak = |name: &str| all.get(name).map(|statistics| statistics.peak as f64 / 1024.0);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let share = (median("create: runvf, VF")? - median("create: runvf")?) / 1000.0;
    let rows = [
        ("hook attach / floor", 1.5, ratio("attach: hook", "attach: floor")?, ""),
        ("hook attach / by hand", 0.4, ratio("attach: hook", "attach: by hand")?, ""),
        (
            "docker run with VF / runc without",
            1.10,
            ratio("docker run: runvf, VF", "docker run: runc")?,
            "",
        ),
        ("runvf run without VF, builtin / runc", 0.6, ratio("run: runvf", "run: runc")?, ""),
        ("runvf run without VF, builtin / crun", 1.6, ratio("run: runvf", "run: crun")?, ""),
        (
            "runvf run without VF, engine crun / crun",
            1.15,
            ratio("run: runvf with crun", "run: crun")?,
            "",
        ),
        ("a VF's share of runvf create", 0.15, share, "s"),
        (
            "21 attaches on 3 PFs, at once / one after another",
            0.5,
            ratio("21 attaches: at once", "21 attaches: one after another")?,
            "",
        ),
        ("claim, 512 VFs / 8 VFs", 1.5, ratio("claim: 512 VFs", "claim: 8 VFs")?, ""),
        ("runvf-hook, peak memory", 6.0, peak("attach: hook")?, "MiB"),
        ("runvf-hook, size", 3.0, mib(sizes.hook), "MiB"),
        ("runvf create, peak memory", 16.0, peak("create: runvf, VF")?, "MiB"),
        ("runvf, size", 8.0, mib(sizes.runvf), "MiB"),
    ];
    let target = |(what, target, measured, unit)| Target { what, target, measured, unit };
    Some(rows.map(target).to_vec())
}
