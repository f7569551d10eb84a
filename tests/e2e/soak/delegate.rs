//! Containers that runc or crun makes under Docker and Podman: sensors, refusals, and a change of the
//! engine.

use crate::delegate::{
    ENGINES, RUNTIME, choose_engine, leave_with_default_engine, recorded_engines,
};
use crate::engine::{Engine, run, start};
use crate::host::{assert_clean, assert_untouched, on_vlans, prepared, state};

#[test]
fn a_sensor_runs_under_crun() {
    a_sensor_runs("crun");
}

fn refusals_and_plain_containers(delegate: &str) {
    let lab = prepared();
    choose_engine(&lab, delegate);
    let before = state(&lab);
    let refused = |engine: Engine, options: &str, expected: &str| {
        let output = run(&lab, engine, options, "echo it runs");
        let case = format!("{delegate} {engine:?} {options}: {output}");
        assert_eq!(output.status, engine.refusal(), "{case}");
        assert!(!output.stdout.contains("it runs"), "{case}");
        let lines = output.stderr.lines().filter(|line| line.contains(expected)).count();
        assert_eq!(lines, 1, "expected one line with {expected:?} in {case}");
        assert_eq!(recorded_engines(&lab), "", "{case}");
    };
    for engine in ENGINES {
        let error = "io.runvf.vlan=5000 is not a VLAN; give a number from 1 to 4094";
        refused(engine, "--annotation io.runvf.vlan=5000", error);
        let error = "the container uses the host's network namespace, and a VF must stay out of it";
        refused(engine, "--network host --annotation io.runvf.vlan=100", error);
        assert_untouched(&lab, &before);

        let output = run(&lab, engine, "", "echo out; ls /sys/class/net; exit 4");
        assert_eq!(output.status, 4, "{delegate} {engine:?}: {output}");
        assert!(output.text().starts_with("out\n") && !output.text().contains("mon0"), "{output}");
        assert_untouched(&lab, &before);
        assert_eq!(recorded_engines(&lab), "", "{engine:?}");
    }
    // Under Docker, the attach fails after the engine has made the container; under Podman, the
    // hook of runvf fails before that.
    lab.ok("ip link set pf0 down").unwrap();
    let down = state(&lab);
    for engine in ENGINES {
        let error = "PF pf0 is down; run `ip link set pf0 up`";
        refused(engine, "--annotation io.runvf.vlan=100", error);
        assert_untouched(&lab, &down);
    }
    lab.ok("ip link set pf0 up").unwrap();
    leave_with_default_engine(lab, &before);
}

pub(crate) fn refusals_and_plain_containers_under_runc() {
    refusals_and_plain_containers("runc");
}

#[test]
fn refusals_and_plain_containers_under_crun() {
    refusals_and_plain_containers("crun");
}

/// A container keeps the runtime that made it, even if `runtime.toml` names another one meanwhile.
pub(crate) fn a_changed_engine_applies_to_new_containers_only() {
    let lab = prepared();
    let before = state(&lab);
    for (engine, first, then) in [
        (Engine::Docker, "runc", "builtin"),
        (Engine::Docker, "builtin", "crun"),
        (Engine::PodmanRuntime, "crun", "runc"),
        (Engine::PodmanRuntime, "runc", "no such engine"),
    ] {
        let case = format!("{engine:?}: {first}, then {then}");
        let program = engine.program();
        choose_engine(&lab, first);
        start(&lab, engine, "sensor", "--annotation io.runvf.vlan=100");
        start(&lab, engine, "plain", "");
        choose_engine(&lab, then);
        for name in ["sensor", "plain"] {
            let output = lab.ok(&format!("{program} exec {name} echo here")).unwrap();
            assert_eq!(output.text(), "here", "{case}");
        }
        lab.ok(&format!("{program} stop sensor && {program} rm -f sensor plain")).unwrap();
        assert_untouched(&lab, &before);
        assert_clean(&lab, 0, "enp1s0v0");
        assert_eq!(recorded_engines(&lab), "", "{case}");
    }
    for engine in ENGINES {
        let output = run(&lab, engine, "", "true");
        let error = "/etc/runvf/runtime.toml: line 1: engine `no such engine` is not valid: expected builtin,";
        assert!(output.stderr.contains(error), "{output}");
    }
    leave_with_default_engine(lab, &before);
}

#[test]
fn strict_mode_requires_a_vf_annotation() {
    let lab = prepared();
    let before = state(&lab);
    for delegate in ["builtin", "runc"] {
        let text = format!("engine = \"{delegate}\"\nrequire_annotation = true\n");
        lab.write(RUNTIME, text).unwrap();
        for engine in ENGINES {
            let output = run(&lab, engine, "", "echo it runs");
            assert_eq!(output.status, engine.refusal(), "{output}");
            let error = "the container requests no VF, but /etc/runvf/runtime.toml sets `require_annotation = true`; \
                add `--annotation io.runvf.vlan=<1-4094>`";
            assert!(output.stderr.contains(error), "{output}");
            assert_untouched(&lab, &before);
            let output = run(&lab, engine, "--annotation io.runvf.vlan=100", "echo it runs");
            assert_eq!(output.text(), "it runs", "{output}");
            assert_untouched(&lab, &before);
        }
    }
    leave_with_default_engine(lab, &before);
}

fn a_sensor_runs(delegate: &str) {
    let lab = prepared();
    choose_engine(&lab, delegate);
    let before = state(&lab);
    for engine in ENGINES {
        let look = "cat /sys/class/net/mon0/flags /sys/class/net/mon0/carrier; exit 3";
        let output = run(&lab, engine, "--annotation io.runvf.vlan=100", look);
        // Up, broadcast, no ARP, promiscuous, all multicast, multicast.
        assert_eq!((output.status, output.text()), (3, "0x1383\n1"), "{engine:?}: {output}");
        assert_untouched(&lab, &before);
        assert_clean(&lab, 0, "enp1s0v0");

        start(&lab, engine, "sensor", "--annotation io.runvf.vlan=100");
        assert_eq!(on_vlans(&lab, "pf0"), [(100, true)], "{engine:?}");
        assert!(recorded_engines(&lab).ends_with(&format!("bin/{delegate}")), "{engine:?}");
        let program = engine.program();
        let inside = lab.ok(&format!("{program} exec sensor cat /sys/class/net/mon0/carrier"));
        assert_eq!(inside.unwrap().text(), "1", "{engine:?}");
        lab.ok(&format!("{program} rm -f sensor")).unwrap();
        assert_untouched(&lab, &before);
        assert_clean(&lab, 0, "enp1s0v0");
        assert_eq!(recorded_engines(&lab), "", "{engine:?}");
    }
    leave_with_default_engine(lab, &before);
}

pub(crate) fn a_sensor_runs_under_runc() {
    a_sensor_runs("runc");
}
