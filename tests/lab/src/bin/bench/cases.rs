//! The cases of the benchmark, in groups. The cases of a group take turns.

use lab::Nic;
use lab::bench_protocol::{Case, Floor, Group, Timed};

use crate::crowd::Crowd;

pub(crate) const HOOK: &str = "/usr/libexec/runvf/runvf-hook";

fn case(name: &str, before: &str, timed: Timed, after: &str) -> Case {
    let sourced = |script: &str| match script {
        "" => String::new(),
        script => format!(". /tmp/bench.sh; {script}"),
    };
    Case { name: name.to_owned(), before: sourced(before), timed, after: sourced(after) }
}

fn command(line: &str) -> Timed {
    command_with_stdin(line, None)
}

fn command_with_stdin(line: &str, stdin: Option<&str>) -> Timed {
    let argv = line.split(' ').map(str::to_owned).collect();
    Timed::Command { argv, stdin: stdin.map(str::to_owned) }
}

/// The groups with their names. `factor` multiplies the number of turns.
pub(crate) fn groups(nic: Nic, factor: u32) -> Vec<(&'static str, Group)> {
    let group = |turns: u32, warm_up, cases| Group { turns: turns * factor, warm_up, cases };
    vec![
        ("attach and detach", group(10, 2, attach_cases())),
        ("containers that end at once", group(10, 2, run_cases())),
        ("create, start, delete", group(6, 2, lifecycle_cases())),
        ("VFs at once", group(2, 1, concurrency_cases(Crowd::of(nic)))),
        ("setup", group(2, 1, vec![setup_case(Crowd::of(nic))])),
        ("a claim among many VFs", group(20, 2, claim_cases())),
        ("engines", group(4, 1, engine_cases())),
    ]
}

fn attach_cases() -> Vec<Case> {
    let floor = Floor {
        pf: "pf0".to_owned(),
        index: 0,
        vlan: 100,
        pid: "/tmp/bench.pid".to_owned(),
        name: "mon0".to_owned(),
    };
    let state = Some("/tmp/bench.state");
    let attach = command_with_stdin(&format!("{HOOK} attach"), state);
    let detach = command_with_stdin(&format!("{HOOK} detach"), state);
    let holder = "holder bench 100";
    // The floor and the script begin with a VF that has its driver.
    let with_bound_vf = "holder bench 100; bind_vf pf0 0";
    vec![
        case("attach: floor", with_bound_vf, Timed::Floor(floor), "undo"),
        case("attach: by hand", with_bound_vf, command("sh /tmp/by-hand.sh"), "undo"),
        case("attach: hook", holder, attach, ""),
        // The start and the end of a process, which are part of all other cases.
        case("begin and end: true", "", command("/bin/true"), ""),
        case("begin and end: runvf-hook", "", command(&format!("{HOOK} --version")), ""),
        case("begin and end: runvf", "", command("runvf --version"), ""),
        case("detach: hook", "end bench", detach, "clean"),
    ]
}

fn run_cases() -> Vec<Case> {
    let run = |name: &str, before: &str, program: &str| {
        case(name, before, command(&format!("{program} run --bundle /tmp/true bench")), "")
    };
    vec![
        run("run: runc", "", "runc"),
        run("run: crun", "", "crun"),
        run("run: runvf", "engine builtin", "runvf"),
        run("run: runvf with crun", "engine crun", "runvf"),
    ]
}

fn lifecycle_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (label, program, engine, bundle) in [
        ("runc", "runc", "", "plain"),
        ("crun", "crun", "", "plain"),
        ("runvf", "runvf", "engine builtin", "plain"),
        ("runvf, VF", "runvf", "engine builtin", "sensor"),
        ("runvf with crun", "runvf", "engine crun", "plain"),
        ("runvf with crun, VF", "runvf", "engine crun", "sensor"),
    ] {
        let step = |step: &str, before: &str, line: String, after: &str| {
            case(&format!("{step}: {label}"), before, command(&line), after)
        };
        let create = format!("{program} create --bundle /tmp/{bundle} bench");
        cases.push(step("create", engine, create, ""));
        cases.push(step("start", "", format!("{program} start bench"), ""));
        cases.push(step("delete", "", format!("{program} delete --force bench"), "clean"));
    }
    cases
}

fn engine_cases() -> Vec<Case> {
    let run = |name: &str, line: &str| case(name, "engine builtin", command(line), "clean");
    vec![
        run("docker run: runc", "docker run --rm runvf/tcpdump true"),
        run("docker run: runvf", "docker run --rm --runtime runvf runvf/tcpdump true"),
        run(
            "docker run: runvf, VF",
            "docker run --rm --runtime runvf --annotation io.runvf.vlan=100 runvf/tcpdump true",
        ),
        run("podman run: crun", "podman run --rm runvf/tcpdump true"),
        run(
            "podman run: crun and hooks, VF",
            "podman run --rm --annotation io.runvf.vlan=100 runvf/tcpdump true",
        ),
    ]
}

fn concurrency_cases(crowd: Crowd) -> Vec<Case> {
    let Crowd { count, .. } = crowd;
    let name = |what: &str, how: &str| format!("{count} {what}: {how}");
    let case = |name: String, before: &str, timed, after: &str| case(&name, before, timed, after);
    // `;` runs the hooks one after another, `&` concurrently.
    let hooks = |verb: &str, separator: &str| {
        let one = format!("{HOOK} {verb} < /tmp/c$i.state");
        let script = format!("for i in $(seq {count}); do {one} {separator} done; wait");
        Timed::Command { argv: vec!["sh".to_owned(), "-ec".to_owned(), script], stdin: None }
    };
    let floors = |concurrent| Timed::Floors {
        floors: (0..count).map(|n| crowd.floor(n)).collect(),
        concurrent,
    };
    let (before_floors, after) = ("hold_all; bind_all", "end_all; detach_all; clean");
    let (alone, at_once) = ("one after another", "at once");
    vec![
        case(name("attaches", alone), "hold_all", hooks("attach", ";"), after),
        case(name("attaches", at_once), "hold_all", hooks("attach", "&"), ""),
        case(name("releases", at_once), "end_all", hooks("detach", "&"), "clean"),
        case(name("floors", alone), before_floors, floors(false), "undo_all"),
        case(name("floors", at_once), before_floors, floors(true), "undo_all"),
    ]
}

/// `runvfctl setup` on a PF without VFs.
fn setup_case(crowd: Crowd) -> Case {
    let Crowd { spare_pf, vfs, .. } = crowd;
    let before = format!("config {spare_pf}; without_vfs {spare_pf}");
    let name = format!("setup: {vfs} VFs of one PF");
    case(&name, &before, command("runvfctl setup"), "config_all; setup_all")
}

fn claim_cases() -> Vec<Case> {
    let case = |name: String, vfs, claimed| case(&name, "", Timed::Claim { vfs, claimed }, "");
    let mut cases = Vec::new();
    for vfs in [8, 64, 512] {
        cases.push(case(format!("claim: {vfs} VFs"), vfs, 0));
        cases.push(case(format!("claim: {vfs} VFs, all but one claimed"), vfs, vfs - 1));
    }
    cases
}
