//! Proof against bad input: the container does not start, the user sees one clear line, and the
//! state of the host does not change.

use lab::Lab;

use crate::engine::{Engine, run};
use crate::hook_calls::functions;
use crate::host::{assert_untouched, leave, prepared, state};

/// Runs a container that must be refused: with the engine's exit status for a refusal, with
/// `expected` in one line of the output, and with the state of the host unchanged.
pub(crate) fn refused(lab: &Lab, before: &str, engine: Engine, options: &str, expected: &str) {
    let output = run(lab, engine, options, "echo it runs");
    let case = format!("{engine:?} {options}\n{output}");
    assert_eq!(output.status, engine.refusal(), "{case}");
    assert!(!output.stdout.contains("it runs"), "{case}");
    let lines = output.stderr.lines().filter(|line| line.contains(expected)).count();
    assert_eq!(lines, 1, "expected one line with {expected:?} in {case}");
    assert_untouched(lab, before);
}

const NOT_A_VLAN: &str = "is not a VLAN; give a number from 1 to 4094";
const NAME: &str =
    "; an interface's name is 1 to 15 letters, digits, `-`, `_` or `.`, and not `lo`";

/// Options with bad annotations, and the expected part of the refusal. One of each kind comes
/// first.
pub(crate) fn bad_annotations() -> Vec<(String, String)> {
    let no_vlan = |network: &str, value: &str| {
        (
            format!("{network}--annotation io.runvf.vlan={value}"),
            format!("io.runvf.vlan={value} {NOT_A_VLAN}"),
        )
    };
    let bad_name = |name: &str, problem: &str| {
        (
            format!("--annotation io.runvf.vlan.{name}=100"),
            format!("io.runvf.vlan.{name} {problem}{NAME}"),
        )
    };
    let refusal = |options: &str, expected: &str| (options.to_owned(), expected.to_owned());
    vec![
        no_vlan("--network bridge ", "0"),
        refusal(
            "--annotation io.runvf.vlna=100",
            "io.runvf.vlna is not an annotation of runvf; did you mean `io.runvf.vlan`?",
        ),
        bad_name("lo", "names the loopback interface"),
        refusal(
            "--network host --annotation io.runvf.vlan=100",
            "the container uses the host's network namespace, and a VF must stay out of it; run it without `--network host`",
        ),
        refusal(
            "--annotation io.runvf.vlan=100 --annotation io.runvf.vlan.mon0=200",
            "io.runvf.vlan and io.runvf.vlan.mon0 both ask for an interface named `mon0`; give one of them another name",
        ),
        no_vlan("", "4095"),
        no_vlan("", "5000"),
        no_vlan("", "abc"),
        no_vlan("", ""),
        bad_name("eth0/x", "names an interface with a character that the kernel refuses"),
        bad_name("a2345678901234567890", "names an interface with more than 15 characters"),
    ]
}

/// The number of kinds of bad annotations: `bad_annotations()` begins with one of each.
const KINDS: usize = 4;

pub(crate) fn bad_annotations_are_refused(engine: Engine, cases: &[(String, String)]) {
    let lab = prepared();
    let before = state(&lab);
    for (options, expected) in cases {
        refused(&lab, &before, engine, options, expected);
    }
    leave(lab, &before);
}

#[test]
fn docker_refuses_one_bad_annotation_of_each_kind() {
    bad_annotations_are_refused(Engine::Docker, &bad_annotations()[..KINDS]);
}

/// runvf runs the same code as under Docker, so a sample is enough; Podman shows the line in
/// another way.
#[test]
fn podman_with_runvf_refuses_bad_input() {
    let lab = prepared();
    let before = state(&lab);
    let engine = Engine::PodmanRuntime;
    let error = format!("io.runvf.vlan=4095 {NOT_A_VLAN}");
    refused(&lab, &before, engine, "--annotation io.runvf.vlan=4095", &error);
    let options = "--network host --annotation io.runvf.vlan=100";
    refused(&lab, &before, engine, options, "the container uses the host's network");
    lab.ok("ip link set pf0 down").unwrap();
    let error = "PF pf0 is down; run `ip link set pf0 up`";
    refused(&lab, &state(&lab), engine, "--annotation io.runvf.vlan=100", error);
    lab.ok("ip link set pf0 up").unwrap();
    leave(lab, &before);
}

#[test]
fn an_interface_name_that_the_engine_uses_is_refused() {
    let lab = prepared();
    let before = state(&lab);
    // Podman creates its own interface before it calls the runtime.
    refused(
        &lab,
        &before,
        Engine::PodmanHooks,
        "--network bridge --annotation io.runvf.vlan.eth0=100",
        "the container already has an interface named `eth0`; choose another name",
    );
    leave(lab, &before);
}

#[test]
fn the_hook_refuses_an_invalid_state() {
    let lab = prepared();
    let before = state(&lab);
    for (stdin, expected) in [
        ("true", "the container state on stdin is empty"),
        ("echo hello", "the container state on stdin is not valid"),
        ("echo '{\"pid\":1}'", "missing field `id`"),
        (
            "head -c 5000000 /dev/zero | tr '\\0' ' '",
            "the container state on stdin is larger than 4194304 bytes",
        ),
        (
            "echo '{\"id\":\"x\",\"annotations\":{\"io.runvf.vlan\":\"5\"}}'",
            "the state of container x has no pid",
        ),
        (
            "echo '{\"id\":\"x\",\"pid\":999999,\"annotations\":{\"io.runvf.vlan\":\"5\"}}'",
            "container x: process 999999 has exited",
        ),
        (
            "echo '{\"id\":\"x\",\"pid\":1,\"annotations\":{\"io.runvf.vlan\":\"5\"}}'",
            "the container uses the host's network",
        ),
    ] {
        let output = lab.sh(&format!("{stdin} | /usr/libexec/runvf/runvf-hook attach")).unwrap();
        assert_eq!(output.status, 1, "{stdin}: {output}");
        assert_eq!(output.stderr.lines().count(), 1, "{stdin}: {output}");
        assert!(
            output.stderr.starts_with("runvf: ") && output.stderr.contains(expected),
            "{stdin}: {output}"
        );
    }
    leave(lab, &before);
}

/// The process that starts containers has reached the task limit of its cgroup.
#[test]
fn an_attach_at_the_task_limit_reports_the_error() {
    let lab = prepared();
    functions(&lab);
    let before = state(&lab);
    let refused = lab.sh(include_str!("scripts/task_limit.sh")).unwrap();
    let error = "runvf: cannot enter a network namespace: EAGAIN: ";
    assert!(refused.status == 1 && refused.stderr.starts_with(error), "{refused}");
    leave(lab, &before);
}
