//! Proof of recovery: each procedure is killed, or meets an error, at its fault points, and what it
//! leaves on disk is enough for the next attach and for `runvfctl` to clean everything.
//!
//! The programs are built with fault points (`vf/src/fault.rs`). A procedure runs once to list the
//! points that it passes, then once for each chosen point and way to fail. A point before a read is
//! never a point of a kill, because nothing has changed since the point before it. Where the kernel
//! is asked for a change, one of the ways is a lie: the kernel reports success and does nothing.
//!
//! `make test` breaks attach and release once in each way on both cards, `soak::fault_points` kills them
//! and others at every point, and `make trial` breaks each procedure in every way at every passing of a
//! point.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use lab::{HostKind, Lab, Programs};

use crate::card::{ALLOW_PROMISC, Card, I82576};
use crate::host::{Preparation, configure, leave, leave_as, prepared, reused, settle, state};
use crate::script::script;
use crate::switch::assert_switch_is_clean;

mod procedures;
mod snapshot;

pub(crate) use procedures::{
    ATTACH, CREATION, DETACH, FLUSH, GC, LOSS, NETNS_ATTACH, NETNS_GC, NETNS_LOSS, PAIR, Procedure,
    REFUSAL, REPAIR, SPOOL, TEARDOWN, UNREADABLE,
};
pub(crate) use snapshot::Snapshot;

const FUNCTIONS: &str = include_str!("scripts/fault_points.sh");

/// The bound of the tenant makes an attach take one more lock.
const CONFIGURED: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nvfs = 2\nscrub = \"flr\"\n\
    [[tenant]]\nname = \"all\"\nvlans = [\"1-4094\"]\nmax = 2\n";

/// A host without VFs, with the programs that have fault points.
pub(crate) fn faulty_host(host: HostKind) -> Lab {
    let lab = Lab::with_runvf_on(host, Programs::WithFaultPoints).unwrap();
    let card = Card::of(&lab);
    configure(&lab, CONFIGURED);
    lab.write("/tmp/functions", script(FUNCTIONS, &[("first_vf", &card.vf(0))])).unwrap();
    // Otherwise the first attach would wait for the driver, and pass points that no later one
    // passes.
    lab.ok(&format!("{ALLOW_PROMISC}; modprobe {}", card.vf_driver)).unwrap();
    lab
}

/// A faulty host with two VFs, which rest as `runvfctl setup` leaves them.
pub(crate) fn faulty_host_with_vfs(host: HostKind) -> Lab {
    reused(host, Preparation::Faulty, || {
        let lab = faulty_host(host);
        lab.ok("runvfctl setup").unwrap();
        if Card::of(&lab).parks {
            return lab;
        }
        settle(&lab, 2);
        // An operator's settings of a free VF, which every release has to restore.
        lab.ok("ip link set enp1s0v0 alias 'rack 3' txqueuelen 500 mtu 1450; ethtool -K enp1s0v0 gso off")
            .unwrap();
        lab
    })
}

/// The settings of the operator on a VF with a netdev, as [`Snapshot::after_with_settings`] returns them.
const OPERATOR_SETTINGS: &str =
    "mtu 1450\nqlen 500\nalias rack 3\ngeneric-segmentation-offload: off";

/// The command that cleans up as an operator does; see [`Snapshot::assert_gc_was_enough`].
pub(crate) const CLEAN_UP: &str = "clean_up";

/// Which faults a procedure meets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Faults {
    /// At every passing of every point, in every way.
    All,
    /// At the first and the last passing of every point, by a kill.
    Kills,
    /// The named ones only, each as `POINT:NTH:WAY`.
    Only(&'static [&'static str]),
}

/// The points that a procedure passes, each with its number of passings.
pub(crate) fn trace(lab: &Lab, procedure: &Procedure) -> BTreeMap<String, usize> {
    let Procedure { name, prepare, run, leaves, .. } = procedure;
    let snapshots = Snapshot::after(lab, &[&format!("{prepare}; traced {run}"), CLEAN_UP], name);
    // A run that went another way than usual would list points that no other run passes.
    assert_eq!(snapshots[0].state().as_deref(), *leaves, "{}", snapshots[0].case);
    snapshots[1].assert_all_clean();
    count_points(&lab.ok("cat /tmp/trace").unwrap().stdout)
}

pub(crate) fn count_points(trace: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for point in trace.lines() {
        *counts.entry(point.to_owned()).or_default() += 1;
    }
    counts
}

/// All faults of a procedure, as `POINT:NTH:WAY`.
fn faults_of(lab: &Lab, procedure: &Procedure) -> Vec<String> {
    let points = trace(lab, procedure);
    assert!(points.len() >= 4, "{}: only {points:?}", procedure.name);
    let points_of_kernel = points_at(&KERNEL_CALLS);
    let wanted = |point: &str| procedure.only.is_empty() || procedure.only.contains(&point);
    let mut faults = Vec::new();
    for (point, count) in points.iter().filter(|(point, _)| wanted(point)) {
        let reads = point.starts_with("read-");
        let passings: BTreeSet<usize> = match reads && point != "read-vfs" {
            // Most of these reads poll for something.
            true => [1, *count].into(),
            false => (1..=*count).collect(),
        };
        let fits = |way: &&&str| match **way {
            "kill" => !reads,
            "lie" => !reads && points_of_kernel.contains(point),
            _ => true,
        };
        for nth in passings {
            let ways = procedure.ways.iter().filter(fits);
            faults.extend(ways.map(|way| format!("{point}:{nth}:{way}")));
        }
    }
    faults
}

/// Breaks a procedure and asserts that its remains are cleaned.
pub(crate) fn assert_recovery(lab: &Lab, procedure: &Procedure, faults: Faults) {
    let all = faults_of(lab, procedure);
    let chosen = match faults {
        Faults::All => all,
        Faults::Kills => kills_at_first_and_last_passings(&all),
        Faults::Only(few) => {
            let few: Vec<_> = few.iter().map(|fault| (*fault).to_owned()).collect();
            assert!(few.iter().all(|fault| all.contains(fault)), "{few:?} are not all in {all:?}");
            few
        }
    };
    let mut counts = BTreeMap::new();
    for fault in &chosen {
        // After every other fault of a way, another container attaches before the operator cleans
        // up. The few faults of `Only` are one way each, so they are counted together.
        let way = match faults {
            Faults::All | Faults::Kills => fault.rsplit(':').next(),
            Faults::Only(_) => None,
        };
        let count = counts.entry(way).or_insert(0);
        *count += 1;
        break_at(lab, procedure, fault, *count % 2 == 0);
    }
    eprintln!("{}: {} faults", procedure.name, chosen.len());
}

/// `all` has the passings of a point one after the other.
fn kills_at_first_and_last_passings(all: &[String]) -> Vec<String> {
    let point = |fault: &str| fault.split(':').next().map(str::to_owned);
    let kills: Vec<_> = all.iter().filter(|fault| fault.ends_with(":kill")).cloned().collect();
    let passings = kills.chunk_by(|one, other| point(one) == point(other));
    let mut chosen: Vec<_> =
        passings.flat_map(|of_point| [&of_point[0], &of_point[of_point.len() - 1]]).collect();
    // A point that is passed once has the same first and last passing.
    chosen.dedup();
    chosen.into_iter().cloned().collect()
}

fn break_at(lab: &Lab, procedure: &Procedure, fault: &str, another: bool) {
    let Procedure { name, prepare, run, leaves, .. } = procedure;
    let broken = format!("{prepare}; broken {fault} {run}");
    let loses = *leaves == Some("lost");
    let mut steps = vec![broken.as_str()];
    steps.extend(loses.then_some("gc_again"));
    steps.extend(another.then_some("attach_another"));
    steps.push(CLEAN_UP);
    let case = format!("{name}, {fault}");
    let (snapshots, settings) = Snapshot::after_with_settings(lab, &steps, &case);
    let first = &snapshots[0];
    if fault.ends_with("kill") {
        // 128 + SIGKILL, of the program or of the `timeout` around it.
        assert!(first.text.contains("ended with 137"), "{}", first.case);
    } else if *leaves == Some("attached") {
        first.assert_attached_or_refused();
    } else if [DETACH.name, TEARDOWN.name].contains(name) {
        assert!(first.text.contains("ended with 0"), "an engine must go on: {}", first.case);
    }
    snapshots.iter().for_each(Snapshot::assert_no_free_vf_is_dirty);
    if loses {
        assert!(!snapshots[1].text.contains("a is alive"), "{}", snapshots[1].case);
    } else {
        snapshots.iter().for_each(Snapshot::assert_attached_claims_are_true);
    }
    let last = &snapshots[snapshots.len() - 1];
    if another {
        snapshots[snapshots.len() - 2].assert_another_attached();
    }
    last.assert_gc_was_enough();
    last.assert_all_clean();
    // A repair without a readable claim does not know the former settings, and new VFs have none.
    if ![CREATION.name, UNREADABLE.name].contains(name) {
        let (rest, drivers) = if Card::of(lab).parks { ("", 0) } else { (OPERATOR_SETTINGS, 2) };
        assert_eq!(settings, rest, "{}", last.case);
        assert_eq!(last.flags.len(), drivers, "VFs with a driver: {}", last.case);
    }
    assert_switch_is_clean(lab);
}

/// On a host with VFs, which is left to another test.
pub(crate) fn assert_recovery_with_vfs(host: HostKind, procedures: &[(Procedure, Faults)]) {
    let lab = faulty_host_with_vfs(host);
    let before = state(&lab);
    for (procedure, faults) in procedures {
        assert_recovery(&lab, procedure, *faults);
    }
    leave_as(Preparation::Faulty, lab, &before);
}

fn attach_recovers_from_a_kill_an_error_and_a_lie(host: HostKind) {
    let faults = Faults::Only(&["move:1:kill", "claim-replace:1:error", "flags:1:lie"]);
    assert_recovery_with_vfs(host, &[(ATTACH, faults)]);
}

fn release_recovers_from_a_kill_an_error_and_a_lie(host: HostKind) {
    let faults = Faults::Only(&["claim-remove:1:kill", "vf-set:1:error", "unbind:1:lie"]);
    assert_recovery_with_vfs(host, &[(DETACH, faults)]);
}

mod on_the_82576 {
    use crate::card::{I82576, tests_on};

    tests_on!(I82576, super:
        attach_recovers_from_a_kill_an_error_and_a_lie,
        release_recovers_from_a_kill_an_error_and_a_lie,
    );
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super:
        attach_recovers_from_a_kill_an_error_and_a_lie,
        release_recovers_from_a_kill_an_error_and_a_lie,
    );
}

#[test]
fn gc_recovers_from_a_kill_and_an_error() {
    let faults = Faults::Only(&["unbind:1:kill", "vf-set:1:error"]);
    assert_recovery_with_vfs(I82576, &[(GC, faults)]);
}

#[test]
fn repair_recovers_from_a_kill_an_error_and_a_lie() {
    let lab = faulty_host_with_vfs(I82576);
    let faults = Faults::Only(&["claim-remove:1:kill", "probe:1:error", "probe:1:lie"]);
    assert_recovery(&lab, &REPAIR, faults);
}

/// A driver is busy for a moment while its PF is in a reset, for example.
#[test]
fn a_busy_driver_is_asked_again() {
    let lab = faulty_host(I82576);
    for (procedure, point) in [(CREATION, "numvfs"), (ATTACH, "vf-set"), (ATTACH, "flags")] {
        let Procedure { name, prepare, run, leaves, .. } = procedure;
        let busy = format!("{prepare}; busy {point} {run}");
        let snapshots =
            Snapshot::after(&lab, &[&busy, CLEAN_UP], &format!("{name}, {point} is busy"));
        let first = &snapshots[0];
        assert!(first.text.contains("ended with 0\n"), "{}", first.case);
        assert_eq!(first.state().as_deref(), leaves, "{}", first.case);
        let asked = first.text.lines().last().and_then(|count| count.parse::<u32>().ok());
        assert!(asked.is_some_and(|asked| asked >= 2), "{}", first.case);
        snapshots[1].assert_all_clean();
    }
}

/// The kernel, or a card, reports success and does nothing: runvf reads back what it asked for, and
/// no container gets a VF with other settings.
#[test]
fn a_false_success_of_the_kernel_is_detected() {
    let lab = faulty_host_with_vfs(I82576);
    let before = state(&lab);
    let assert_said =
        |seen: &Snapshot, what: &str| assert!(seen.text.contains(what), "{}", seen.case);

    // With `carrier = "require"`, attach would fail for the missing carrier first.
    configure(&lab, &CONFIGURED.replace("[[tenant]]", "carrier = \"ignore\"\n[[tenant]]"));
    for (fault, what) in [
        ("vf-set:0:lie", "set VLAN 11, but the PF driver reports VLAN 0"),
        ("flags:0:lie", "`mon0` in the container is not up and promiscuous"),
    ] {
        let attach = format!("holder a; broken {fault} attach_without_mac");
        let snapshots = Snapshot::after(&lab, &[&attach, CLEAN_UP], &format!("attach, {fault}"));
        assert_said(&snapshots[0], "ended with 1");
        assert_said(&snapshots[0], what);
        snapshots.iter().for_each(Snapshot::assert_all_clean);
    }
    configure(&lab, CONFIGURED);

    // The next gc removes what is left on a quarantined VF.
    for (fault, what, dirty) in [
        ("vf-set:0:lie", "it still has VLAN 11, trust on", 1),
        ("unbind:0:lie", "is still bound to its driver", 0),
    ] {
        let detach =
            format!("holder a; hook attach a 11 && end a; broken {fault} hook detach a 11");
        let steps = [detach.as_str(), "timeout 100 runvfctl gc", CLEAN_UP];
        let snapshots = Snapshot::after(&lab, &steps, &format!("detach, {fault}"));
        assert_said(&snapshots[0], what);
        assert_eq!(snapshots[0].dirty().count(), dirty, "{}", snapshots[0].case);
        for seen in &snapshots[..2] {
            assert_eq!(seen.state().as_deref(), Some("quarantined"), "{}", seen.case);
        }
        assert_eq!(snapshots[1].dirty().count(), 0, "{}", snapshots[1].case);
        snapshots[2].assert_all_clean();
    }
    leave_as(Preparation::Faulty, lab, &before);
}

/// Only tests may break the programs: an environment variable must not make an installed program
/// skip a step.
#[test]
fn installed_programs_have_no_fault_points() {
    let programs = "/usr/bin/runvf /usr/bin/runvfctl /usr/libexec/runvf/runvf-hook";
    let lab = prepared();
    let before = state(&lab);
    lab.ok(&format!("! grep -l RUNVF_FAULT {programs}")).unwrap();
    leave(lab, &before);
    let lab = faulty_host_with_vfs(I82576);
    let before = state(&lab);
    let with = lab.ok(&format!("grep -l RUNVF_FAULT {programs} | wc -l")).unwrap();
    assert_eq!(with.text(), "3");
    leave_as(Preparation::Faulty, lab, &before);
}

/// The text in the code before the name of a point at which the kernel can lie.
pub(crate) const KERNEL_CALLS: [&str; 4] =
    ["write_with_retry(\"", ".set_link(\"", "call(\"", "fault::lie(\""];

/// The names of the points after one of `calls` in the code of `vf`.
pub(crate) fn points_at(calls: &[&str]) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vf/src");
    let mut all = BTreeSet::new();
    for call in calls {
        let mut points = BTreeSet::new();
        collect_points(&folder, call, &mut points);
        assert!(!points.is_empty(), "no point after `{call}`: has the function another name?");
        all.extend(points);
    }
    all
}

fn collect_points(folder: &Path, call: &str, points: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_points(&path, call, points);
        } else if !path.ends_with("fault.rs") {
            let text = fs::read_to_string(&path).unwrap();
            // rustfmt breaks long lines between a call and its name.
            let text = text.lines().map(str::trim_start).collect::<String>();
            let names = text.split(call).skip(1).filter_map(|rest| rest.split('"').next());
            points.extend(names.map(str::to_owned));
        }
    }
}
