//! Proof against bad input: the container does not start, the user sees one clear line, and the
//! state of the host does not change.

use lab::{HostKind, Lab};

use crate::card::Card;
use crate::delegate::{choose_engine, leave_with_default_engine};
use crate::engine::{Engine, run};
use crate::hook_calls::{functions, vlans, with};
use crate::host::{assert_untouched, leave, prepared_on, settle, state};
use crate::policy::audit;

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
const NAME: &str = "; an interface name is 1 to 15 letters, digits, `-`, `_` or `.`, and not `lo`";

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
        bad_name("eth0/x", "has an interface name with a character that is not allowed"),
        bad_name("a2345678901234567890", "has an interface name of more than 15 characters"),
    ]
}

/// The number of kinds of bad annotations: `bad_annotations()` begins with one of each.
const KINDS: usize = 4;

pub(crate) fn bad_annotations_are_refused(
    host: HostKind,
    engine: Engine,
    cases: &[(String, String)],
) {
    let lab = prepared_on(host);
    let before = state(&lab);
    for (options, expected) in cases {
        refused(&lab, &before, engine, options, expected);
    }
    leave(lab, &before);
}

pub(crate) fn docker_refuses_one_bad_annotation_of_each_kind(host: HostKind) {
    bad_annotations_are_refused(host, Engine::Docker, &bad_annotations()[..KINDS]);
}

/// runvf runs the same code as under Docker, so a sample is enough; Podman shows the line in
/// another way.
pub(crate) fn podman_with_runvf_refuses_bad_input(host: HostKind) {
    let lab = prepared_on(host);
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

pub(crate) fn an_interface_name_that_the_engine_uses_is_refused(host: HostKind) {
    let lab = prepared_on(host);
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

pub(crate) fn the_hook_refuses_an_invalid_state(host: HostKind) {
    let lab = prepared_on(host);
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
pub(crate) fn an_attach_at_the_task_limit_reports_the_error(host: HostKind) {
    let lab = prepared_on(host);
    functions(&lab);
    let before = state(&lab);
    let refused = lab.sh(include_str!("scripts/task_limit.sh")).unwrap();
    let error = "runvf: cannot enter a network namespace: EAGAIN: ";
    assert!(refused.status == 1 && refused.stderr.starts_with(error), "{refused}");
    leave(lab, &before);
}

/// A script that runs a container without annotations. Its spec moves a netdev of the host.
fn run_with_netdev(netdev: &str) -> String {
    let filter = format!(
        ".process.args = [\"ls\", \"/sys/class/net\"] | .linux.netDevices = {{\"{netdev}\": {{\"name\": \"x0\"}}}}"
    );
    let bundle = include_str!("scripts/bundle.sh");
    format!("{bundle}write_config '{filter}'\nrunvf run --bundle /tmp/d c < /dev/null")
}

fn refusal_of_netdev(netdev: &str, what: &str) -> String {
    format!(
        "cannot move `{netdev}` into the container by linux.netDevices: it is {what}, which runvf manages; \
         remove it from linux.netDevices; a container gets a VF by the annotation `io.runvf.vlan=<1-4094>`"
    )
}

/// A VF would be in the container without a claim, an audit entry or a scrub.
pub(crate) fn a_spec_that_moves_a_netdev_of_runvf_is_refused(host: HostKind) {
    let lab = prepared_on(host);
    functions(&lab);
    let before = state(&lab);
    lab.ok("rm -f /var/log/runvf/audit*").unwrap();
    let of_vf = format!("VF {} of PF pf0", Card::of(&lab).vf(0));
    let cases = [("enp1s0v0", of_vf.as_str()), ("pf0", "PF pf0")];
    for engine in ["builtin", "runc", "crun"] {
        choose_engine(&lab, engine);
        for (netdev, what) in cases {
            let output = lab.sh(&run_with_netdev(netdev)).unwrap();
            let line = format!("runvf: {}\n", refusal_of_netdev(netdev, what));
            assert_eq!((output.status, output.stderr.as_str()), (1, line.as_str()), "{engine}");
            assert_untouched(&lab, &before);
        }
    }
    let entries = audit(&lab, "");
    assert_eq!(entries.len(), 6, "{entries:?}");
    for ((event, vlan, _, reason), (netdev, what)) in entries.iter().zip(cases.iter().cycle()) {
        let expected = refusal_of_netdev(netdev, what);
        assert_eq!((event.as_str(), *vlan, reason.as_str()), ("refused", 0, expected.as_str()));
    }

    choose_engine(&lab, "builtin");
    lab.ok("ip link add spare0 type veth peer name spare1").unwrap();
    let output = lab.sh(&run_with_netdev("spare0")).unwrap();
    assert!(output.status == 0 && output.stdout.contains("x0"), "{output}");
    lab.ok("rm -r /tmp/d").unwrap();
    leave_with_default_engine(lab, &before);
}

/// Runtimes move the netdevs before or after they call the hook.
pub(crate) fn the_hook_refuses_a_netdev_of_runvf_before_and_after_its_move(host: HostKind) {
    let lab = prepared_on(host);
    functions(&lab);
    let before = state(&lab);
    lab.ok(&with(
        "holder a 100; sed -i 's|\"bundle\":\"/\"|\"bundle\":\"/tmp\"|' /tmp/a.state
         echo '{\"linux\":{\"netDevices\":{\"enp1s0v0\":{\"name\":\"x0\"}}}}' > /tmp/config.json",
    ))
    .unwrap();
    let line = refusal_of_netdev("enp1s0v0", &format!("VF {} of PF pf0", Card::of(&lab).vf(0)));
    for made in ["true", "ip link set enp1s0v0 netns $(cat /tmp/a.pid) name x0"] {
        let refused = lab.sh(&with(&format!("{made}; attach a"))).unwrap();
        assert_eq!((refused.status, refused.stderr), (1, format!("runvf: {line}\n")), "{made}");
        assert_eq!(vlans(&lab), [], "{made}");
    }
    // The kernel returns the netdev as `x0`. The name of before may then be an alternative name, because udev adds one,
    // and `ip` refuses it as a name. A new netdev gets its name from udev.
    let vf = Card::of(&lab).vf(0);
    lab.ok(&with(&format!(
        "end a; device=/sys/bus/pci/devices/{vf}; driver=$(readlink -f $device/driver)
         echo {vf} > $driver/unbind; echo {vf} > $driver/bind"
    )))
    .unwrap();
    settle(&lab, 3);
    leave(lab, &before);
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super:
        docker_refuses_one_bad_annotation_of_each_kind,
        podman_with_runvf_refuses_bad_input,
        an_interface_name_that_the_engine_uses_is_refused,
        the_hook_refuses_an_invalid_state,
        an_attach_at_the_task_limit_reports_the_error,
        a_spec_that_moves_a_netdev_of_runvf_is_refused,
        the_hook_refuses_a_netdev_of_runvf_before_and_after_its_move,
    );
}
