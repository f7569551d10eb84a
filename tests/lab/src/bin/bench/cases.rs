//! The cases of the benchmark, in groups. The cases of a group take turns.

use lab::bench_protocol::{Case, Floor, Group, Timed};

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
pub(crate) fn groups(factor: u32) -> Vec<(&'static str, Group)> {
    let group = |turns: u32, warm_up, cases| Group { turns: turns * factor, warm_up, cases };
    vec![
        ("attach and detach", group(10, 2, attach_cases())),
        ("containers that end at once", group(10, 2, run_cases())),
        ("create, start, delete", group(6, 2, lifecycle_cases())),
        ("21 attaches", group(2, 1, concurrency_cases())),
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
    vec![
        case("attach: floor", holder, Timed::Floor(floor), "undo"),
        case("attach: by hand", holder, command("sh /tmp/by-hand.sh"), "undo"),
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

fn concurrency_cases() -> Vec<Case> {
    let before = "hold_all";
    let after = "end_all; detach_all; clean";
    // `;` runs the attaches one after another, `&` concurrently.
    let attach_all = |separator: &str| {
        let script =
            format!("for i in $(seq 21); do {HOOK} attach < /tmp/c$i.state {separator} done; wait");
        let argv = vec!["sh".to_owned(), "-ec".to_owned(), script];
        Timed::Command { argv, stdin: None }
    };
    let floors = |concurrent| {
        let floor = |n: u32| Floor {
            pf: format!("pf{}", n % 3),
            index: n / 3,
            vlan: 101 + n,
            pid: format!("/tmp/c{}.pid", n + 1),
            name: "mon0".to_owned(),
        };
        Timed::Floors { floors: (0..21).map(floor).collect(), concurrent }
    };
    vec![
        case("21 attaches: one after another", before, attach_all(";"), after),
        case("21 attaches: at once", before, attach_all("&"), after),
        case("21 floors: one after another", before, floors(false), "undo_all"),
        case("21 floors: at once", before, floors(true), "undo_all"),
    ]
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
