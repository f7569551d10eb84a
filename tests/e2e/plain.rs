//! Containers that ask for no VF: with runvf as their runtime they are what they are with runc. Every test here runs with both;
//! one that runc fails is a wrong test.

use lab::Lab;

use crate::engine::IMAGE;
use crate::host::{leave, prepared, state};

/// Docker and Podman, each with runc and with runvf.
const RUNS: [&str; 4] = [
    "docker run --runtime runc",
    "docker run --runtime runvf",
    "podman --runtime /usr/bin/runc run",
    "podman --runtime /usr/bin/runvf run",
];

fn engine(run: &str) -> &str {
    run.split(' ').next().unwrap_or_default()
}

fn on_every_runtime(test: impl Fn(&Lab, &str)) {
    let lab = prepared();
    let before = state(&lab);
    for run in RUNS {
        test(&lab, run);
        lab.ok("test -z \"$(docker ps -aq)$(podman ps -aq)\"").unwrap();
    }
    leave(lab, &before);
}

#[test]
fn output_and_exit_codes_come_through() {
    on_every_runtime(|lab, run| {
        let output =
            lab.sh(&format!("{run} --rm {IMAGE} sh -c 'echo out; echo err >&2; exit 3'")).unwrap();
        assert_eq!(
            (output.status, output.stdout.as_str(), output.stderr.as_str()),
            (3, "out\n", "err\n"),
            "{run}"
        );
        let output = lab.sh(&format!("{run} --rm {IMAGE} /no/such/program")).unwrap();
        assert_eq!(output.status, 127, "{run}: {output}");
        let output = lab.sh(&format!("{run} --rm {IMAGE} /etc/passwd")).unwrap();
        assert_eq!(output.status, 126, "{run}: {output}");
        // What did not start must not be left over either.
        let output = lab.sh(&format!("echo hello | {run} --rm -i {IMAGE} cat")).unwrap();
        assert_eq!((output.status, output.text()), (0, "hello"), "{run}: {output}");
    });
}

#[test]
fn exec_logs_kill_and_remove_work() {
    on_every_runtime(|lab, run| {
        let engine = engine(run);
        lab.ok(&format!("{run} -d --name plain {IMAGE} sh -c 'echo started; sleep 1000'")).unwrap();
        assert_eq!(
            lab.ok(&format!("{engine} exec plain sh -c 'echo inside; exit 0'")).unwrap().text(),
            "inside"
        );
        assert_eq!(
            lab.sh(&format!("{engine} exec plain sh -c 'exit 4'")).unwrap().status,
            4,
            "{run}"
        );
        assert_eq!(lab.ok(&format!("{engine} logs plain")).unwrap().text(), "started");
        lab.ok(&format!("{engine} kill -s KILL plain")).unwrap();
        assert_eq!(lab.ok(&format!("{engine} wait plain")).unwrap().text(), "137", "{run}");
        lab.ok(&format!("{engine} rm plain")).unwrap();
    });
}

#[test]
fn a_terminal_is_one() {
    on_every_runtime(|lab, run| {
        let output =
            lab.ok(&format!("script -qec \"{run} --rm -t {IMAGE} tty\" /dev/null")).unwrap();
        assert_eq!(output.text(), "/dev/pts/0", "{run}");
    });
}

#[test]
fn a_stopped_container_starts_again() {
    on_every_runtime(|lab, run| {
        let engine = engine(run);
        lab.ok(&format!("{run} --name plain {IMAGE} echo again")).unwrap();
        assert_eq!(lab.ok(&format!("{engine} start -a plain")).unwrap().text(), "again", "{run}");
        lab.ok(&format!("{engine} rm plain")).unwrap();
    });
}

/// A default container may make device nodes; what keeps it from the host's disk is the device cgroup alone.
#[test]
fn the_hosts_disk_is_out_of_reach() {
    on_every_runtime(|lab, run| {
        let node = lab.ok("stat -c '%Hr %Lr' /dev/vda").unwrap();
        let read = format!(
            "mknod /disk b {} && head -c 512 /disk > /dev/null; head -c 1 /dev/zero | wc -c",
            node.text()
        );
        let output = lab.sh(&format!("{run} --rm --cap-add MKNOD {IMAGE} sh -c '{read}'")).unwrap();
        assert!(output.stderr.contains("Operation not permitted"), "{run}: {output}");
        assert_eq!(output.text(), "1", "{run}: what every container may read: {output}");
    });
}
