//! The targets. The report shows whether each is met; a missed one does not fail the benchmark.

use std::collections::BTreeMap;

use lab::Nic;
use serde::Serialize;

use crate::crowd::Crowd;
use crate::statistics::Statistics;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
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

/// The measured cases, by name.
struct Measured<'a>(&'a BTreeMap<String, Statistics>);

impl Measured<'_> {
    fn median(&self, name: &str) -> Option<f64> {
        self.0.get(name).map(|statistics| statistics.median)
    }

    fn ratio(&self, one: &str, other: &str) -> Option<f64> {
        Some(self.median(one)? / self.median(other)?)
    }

    /// In MiB.
    fn peak(&self, name: &str) -> Option<f64> {
        self.0.get(name).map(|statistics| statistics.peak as f64 / 1024.0)
    }
}

/// A target, and the measured value if its cases were measured.
type Row = (String, f64, Option<f64>, &'static str);

/// Compares the cases and sizes with the targets. Without all of its cases, a target is left out.
pub(crate) fn targets(nic: Nic, all: &BTreeMap<String, Statistics>, sizes: &Sizes) -> Vec<Target> {
    let measured = Measured(all);
    let rows = of_vfs(nic, &measured).into_iter().chain(of_programs(nic, &measured, sizes));
    let target = |(what, target, measured, unit): Row| {
        Some(Target { what, target, measured: measured?, unit })
    };
    rows.filter_map(target).collect()
}

/// The targets that depend on the NIC.
fn of_vfs(nic: Nic, measured: &Measured<'_>) -> Vec<Row> {
    let Crowd { count, .. } = Crowd::of(nic);
    let row = |what: &str, at_most: f64, one: &str, other: &str| {
        (what.to_owned(), at_most, measured.ratio(one, other), "")
    };
    let at_once = format!("{count} attaches: at once");
    let (x710, floor, hook) = (nic == Nic::IntelX710, "attach: floor", "attach: hook");
    let by_hand = if x710 { 1.0 } else { 0.4 };
    let mut rows = vec![
        row("hook attach / floor", 1.5, hook, floor),
        row("hook attach / by hand", by_hand, hook, "attach: by hand"),
    ];
    rows.push(match x710 {
        true => row(
            &format!("{count} attaches on one PF, at once / {count} floors one after another"),
            1.5,
            &at_once,
            &format!("{count} floors: one after another"),
        ),
        false => row(
            &format!("{count} attaches on 3 PFs, at once / one after another"),
            0.65,
            &at_once,
            &format!("{count} attaches: one after another"),
        ),
    });
    if x710 {
        rows.push(row("hook detach / hook attach", 1.2, "detach: hook", hook));
    }
    rows
}

fn of_programs(nic: Nic, measured: &Measured<'_>, sizes: &Sizes) -> Vec<Row> {
    let mib = |bytes: u64| Some(bytes as f64 / f64::from(1 << 20));
    let ratio = |one, other| measured.ratio(one, other);
    let create = |name| measured.median(name);
    let share = create("create: runvf, VF")
        .zip(create("create: runvf"))
        .map(|(with, without)| (with - without) / 1000.0);
    let mut rows = vec![
        ("runvf run without VF, builtin / runc", 0.6, ratio("run: runvf", "run: runc"), ""),
        ("runvf run without VF, builtin / crun", 1.6, ratio("run: runvf", "run: crun"), ""),
        (
            "runvf run without VF, engine crun / crun",
            1.15,
            ratio("run: runvf with crun", "run: crun"),
            "",
        ),
        ("claim, 512 VFs / 8 VFs", 1.5, ratio("claim: 512 VFs", "claim: 8 VFs"), ""),
        ("runvf-hook, peak memory", 6.0, measured.peak("attach: hook"), "MiB"),
        ("runvf-hook, size", 3.0, mib(sizes.hook), "MiB"),
        ("runvf create, peak memory", 16.0, measured.peak("create: runvf, VF"), "MiB"),
        ("runvf, size", 8.0, mib(sizes.runvf), "MiB"),
    ];
    // On the X710, a reset by the driver takes longer than a container's start.
    if nic == Nic::Intel82576 {
        let docker = ratio("docker run: runvf, VF", "docker run: runc");
        rows.insert(0, ("docker run with VF / runc without", 1.10, docker, ""));
        rows.insert(1, ("a VF's share of runvf create", 0.15, share, "s"));
    }
    rows.into_iter()
        .map(|(what, target, measured, unit)| (what.to_owned(), target, measured, unit))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::bench_protocol::Turn;

    fn cases(milliseconds: &[(&str, u64)]) -> BTreeMap<String, Statistics> {
        let turn = |ms: u64| Turn { nanoseconds: ms * 1_000_000, peak: 2048 };
        let statistics = |ms| Statistics::of(&[turn(ms)]).unwrap();
        milliseconds.iter().map(|(name, ms)| ((*name).to_owned(), statistics(*ms))).collect()
    }

    #[test]
    fn only_measured_targets_are_reported() {
        let sizes = Sizes { runvf: 1 << 20, hook: 1 << 20 };
        let all = cases(&[("attach: hook", 900), ("attach: floor", 600), ("detach: hook", 900)]);
        let names = |nic| {
            let all = targets(nic, &all, &sizes);
            all.into_iter().map(|target| (target.what, target.measured)).collect::<Vec<_>>()
        };
        let found = names(Nic::IntelX710);
        assert_eq!(found[0], ("hook attach / floor".to_owned(), 1.5));
        assert_eq!(found[1], ("hook detach / hook attach".to_owned(), 1.0));
        assert!(!names(Nic::Intel82576).iter().any(|(what, _)| what.contains("detach")));
    }

    #[test]
    fn many_attaches_are_compared_with_floors_on_the_x710() {
        let all =
            cases(&[("20 attaches: at once", 15_000), ("20 floors: one after another", 12_000)]);
        let sizes = Sizes { runvf: 0, hook: 0 };
        let found = targets(Nic::IntelX710, &all, &sizes);
        assert_eq!(found[0].measured, 1.25);
        assert!(found[0].is_met());
    }
}
