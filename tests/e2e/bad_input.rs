//! Bad input: the container does not start, one clear line reaches the person who typed the command, and the host is as before.

use lab::Lab;

use crate::engine::{Engine, run};
use crate::holder::{functions, with};
use crate::host::{assert_untouched, configure, leave, prepared, settle, state};

/// Runs a container that must be refused: with the engine's own exit code, with `expected` on one line of what the person sees,
/// and with the host as it was `before`.
fn refused(lab: &Lab, before: &str, engine: Engine, options: &str, expected: &str) {
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
    "; an interface name is 1 to 15 letters, digits, `-`, `_` or `.`, and not `lo`";

fn annotations(engine: Engine) {
    let lab = prepared();
    let before = state(&lab);
    for (value, network) in
        [("0", "--network bridge "), ("4095", ""), ("5000", ""), ("abc", ""), ("", "")]
    {
        let options = format!("{network}--annotation io.runvf.vlan={value}");
        refused(&lab, &before, engine, &options, &format!("io.runvf.vlan={value} {NOT_A_VLAN}"));
    }
    refused(
        &lab,
        &before,
        engine,
        "--annotation io.runvf.vlna=100",
        "io.runvf.vlna is not an annotation of runvf; did you mean `io.runvf.vlan`?",
    );
    refused(
        &lab,
        &before,
        engine,
        "--annotation io.runvf.vlan=100 --annotation io.runvf.vlan.mon0=200",
        "io.runvf.vlan and io.runvf.vlan.mon0 both ask for an interface named `mon0`; give one of them another name",
    );
    for (name, problem) in [
        ("lo", "names the loopback interface"),
        ("eth0/x", "has an interface name with a character that is not allowed"),
        ("a2345678901234567890", "has an interface name of more than 15 characters"),
    ] {
        let options = format!("--annotation io.runvf.vlan.{name}=100");
        refused(&lab, &before, engine, &options, &format!("io.runvf.vlan.{name} {problem}{NAME}"));
    }
    refused(
        &lab,
        &before,
        engine,
        "--network host --annotation io.runvf.vlan=100",
        "the container uses the host's network, and a VF must never be moved there; run it without `--network host`",
    );
    leave(lab, &before);
}

#[test]
fn bad_annotations_under_docker() {
    annotations(Engine::Docker);
}

#[test]
fn bad_annotations_under_podman_with_hooks() {
    annotations(Engine::PodmanHooks);
}

/// The same code as under Docker, so a sample will do; what differs is how the line gets to the person.
#[test]
fn bad_input_under_podman_with_runvf() {
    let lab = prepared();
    let before = state(&lab);
    let engine = Engine::PodmanRuntime;
    let told = format!("io.runvf.vlan=4095 {NOT_A_VLAN}");
    refused(&lab, &before, engine, "--annotation io.runvf.vlan=4095", &told);
    let options = "--network host --annotation io.runvf.vlan=100";
    refused(&lab, &before, engine, options, "the container uses the host's network");
    lab.ok("ip link set pf0 down").unwrap();
    let told = "PF pf0 is down; `ip link set pf0 up`";
    refused(&lab, &state(&lab), engine, "--annotation io.runvf.vlan=100", told);
    lab.ok("ip link set pf0 up").unwrap();
    leave(lab, &before);
}

/// The host's side, through every engine: nothing of it is the container's fault, and the line must say so.
fn hosts(engine: Engine) {
    const ASKS: &str = "--annotation io.runvf.vlan=100";
    let pool = |pf: &str| format!("[[pool]]\nname = \"sensors\"\npfs = [\"{pf}\"]\n");
    let lab = prepared();
    let before = state(&lab);

    lab.ok("ip link set pf0 down").unwrap();
    refused(&lab, &state(&lab), engine, ASKS, "PF pf0 is down; `ip link set pf0 up`");
    lab.ok("ip link set pf0 up").unwrap();

    configure(&lab, &pool("pf9"));
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "PF pf9 of pool `sensors` is not on this machine; see `ip -br link`",
    );
    configure(&lab, &pool("mirror0"));
    refused(&lab, &state(&lab), engine, ASKS, "PF mirror0 has no SR-IOV; ");

    configure(&lab, "[[pool]]\nname = \"sensors\"\npfs = \"pf0\"\n");
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "/etc/runvf/config.toml: line 3: invalid type: string",
    );
    configure(&lab, "[[pool");
    refused(&lab, &state(&lab), engine, ASKS, "/etc/runvf/config.toml: line 1: ");
    configure(&lab, &pool("pf0"));
    lab.ok("chmod 666 /etc/runvf/config.toml").unwrap();
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "/etc/runvf/config.toml: users other than root can write it; ",
    );
    lab.ok("rm /etc/runvf/config.toml").unwrap();
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "/etc/runvf/config.toml does not exist; an example for this machine: \
         pool = [{ name = \"sensors\", pfs = [\"pf0\", \"pf1\", \"pf2\"] }]",
    );

    configure(&lab, &pool("pf0"));
    lab.ok("chmod 644 /etc/runvf/config.toml").unwrap();
    // Three VFs, all in use.
    lab.ok("for vf in 0 1 2; do ip link set enp1s0v$vf up; done").unwrap();
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "no free VF in pool `sensors`: pf0 has 0 claimed and 3 in use by something else; stop a sensor",
    );
    lab.ok("for vf in 0 1 2; do ip link set enp1s0v$vf down; done").unwrap();

    // VFs without their driver, and no way to get it.
    lab.ok("rmmod igbvf; echo 'install igbvf /bin/false' > /etc/modprobe.d/no-igbvf.conf").unwrap();
    refused(
        &lab,
        &state(&lab),
        engine,
        ASKS,
        "VF 0000:01:10.0: its driver brought up no network interface within 10 s; look for 0000:01:10.0 in `dmesg`",
    );
    lab.ok("rm /etc/modprobe.d/no-igbvf.conf; modprobe igbvf").unwrap();
    settle(&lab, 3);
    leave(lab, &before);
}

#[test]
fn a_host_that_cannot_serve_under_docker() {
    hosts(Engine::Docker);
}

#[test]
fn a_host_that_cannot_serve_under_podman_with_hooks() {
    hosts(Engine::PodmanHooks);
}

#[test]
fn a_name_that_the_engine_has_given_already_is_refused() {
    let lab = prepared();
    let before = state(&lab);
    // Podman's own interface is there before the runtime is called.
    refused(
        &lab,
        &before,
        Engine::PodmanHooks,
        "--network bridge --annotation io.runvf.vlan.eth0=100",
        "an interface named `eth0` is in the container already; ask for another name",
    );
    leave(lab, &before);
}

#[test]
fn a_state_that_is_none_is_refused_by_the_hook() {
    let lab = prepared();
    let before = state(&lab);
    for (stdin, expected) in [
        ("true", "the container's state on stdin is empty"),
        ("echo hello", "the container's state on stdin is not what the OCI runtime spec says"),
        ("echo '{\"pid\":1}'", "missing field `id`"),
        (
            "head -c 5000000 /dev/zero | tr '\\0' ' '",
            "the container's state on stdin is larger than 4194304 bytes",
        ),
        (
            "echo '{\"id\":\"x\",\"annotations\":{\"io.runvf.vlan\":\"5\"}}'",
            "the state of container x names no process",
        ),
        (
            "echo '{\"id\":\"x\",\"pid\":999999,\"annotations\":{\"io.runvf.vlan\":\"5\"}}'",
            "process 999999 of container x is gone",
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

/// Whoever starts containers is at the limit of its tasks.
#[test]
fn a_host_without_a_thread_to_spare_says_so() {
    let lab = prepared();
    functions(&lab);
    let before = state(&lab);
    let alone = "mkdir /sys/fs/cgroup/few; echo 1 > /sys/fs/cgroup/few/pids.max; holder a 11
        (echo $BASHPID > /sys/fs/cgroup/few/cgroup.procs; exec $hook attach < /tmp/a.state)
        code=$?; end a; rmdir /sys/fs/cgroup/few; exit $code";
    let refused = lab.sh(&with(alone)).unwrap();
    let told = "runvf: cannot enter a network namespace: EAGAIN: ";
    assert!(refused.status == 1 && refused.stderr.starts_with(told), "{refused}");
    leave(lab, &before);
}
