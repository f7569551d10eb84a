//! Containers that runc or crun makes, with runvf around them for their VFs alone.

use lab::Lab;

use crate::engine::{Engine, IMAGE, run, start};
use crate::host::{assert_clean, assert_untouched, leave, on_vlans, prepared, state, vf};

const RUNTIME: &str = "/etc/runvf/runtime.toml";
const ENGINES: [Engine; 2] = [Engine::Docker, Engine::PodmanRuntime];
const BUNDLE: &str = "/var/lib/runvf-bundles/tcpdump";

fn choose(lab: &Lab, delegate: &str) {
    lab.write(RUNTIME, format!("engine = \"{delegate}\"\n")).unwrap();
}

/// Leaves the host with the engine that comes by itself, see [`leave`].
fn leave_as(lab: Lab, before: &str) {
    lab.ok(&format!("rm {RUNTIME}")).unwrap();
    leave(lab, before);
}

/// The engines that the records of living containers name.
fn recorded(lab: &Lab) -> String {
    let records = "(find /run/runvf/delegated -type f 2>/dev/null || true) | xargs -r jq -r .engine | sort -u";
    lab.ok(records).unwrap().text().to_owned()
}

fn a_sensor_is_one(delegate: &str) {
    let lab = prepared();
    choose(&lab, delegate);
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
        assert!(recorded(&lab).ends_with(&format!("bin/{delegate}")), "{engine:?}");
        let program = engine.program();
        let inside = lab.ok(&format!("{program} exec sensor cat /sys/class/net/mon0/carrier"));
        assert_eq!(inside.unwrap().text(), "1", "{engine:?}");
        lab.ok(&format!("{program} rm -f sensor")).unwrap();
        assert_untouched(&lab, &before);
        assert_clean(&lab, 0, "enp1s0v0");
        assert_eq!(recorded(&lab), "", "{engine:?}");
    }
    leave_as(lab, &before);
}

#[test]
fn a_sensor_is_one_with_runc() {
    a_sensor_is_one("runc");
}

#[test]
fn a_sensor_is_one_with_crun() {
    a_sensor_is_one("crun");
}

fn refusals_and_plain_containers(delegate: &str) {
    let lab = prepared();
    choose(&lab, delegate);
    let before = state(&lab);
    let refused = |engine: Engine, options: &str, expected: &str| {
        let output = run(&lab, engine, options, "echo it runs");
        let case = format!("{delegate} {engine:?} {options}: {output}");
        assert_eq!(output.status, engine.refusal(), "{case}");
        assert!(!output.stdout.contains("it runs"), "{case}");
        let told = output.stderr.lines().filter(|line| line.contains(expected)).count();
        assert_eq!(told, 1, "expected one line with {expected:?} in {case}");
        assert_eq!(recorded(&lab), "", "{case}");
    };
    for engine in ENGINES {
        let told = "io.runvf.vlan=5000 is not a VLAN; give a number from 1 to 4094";
        refused(engine, "--annotation io.runvf.vlan=5000", told);
        let told = "the container uses the host's network, and a VF must never be moved there";
        refused(engine, "--network host --annotation io.runvf.vlan=100", told);
        assert_untouched(&lab, &before);

        let output = run(&lab, engine, "", "echo out; ls /sys/class/net; exit 4");
        assert_eq!(output.status, 4, "{delegate} {engine:?}: {output}");
        assert!(output.text().starts_with("out\n") && !output.text().contains("mon0"), "{output}");
        assert_untouched(&lab, &before);
        assert_eq!(recorded(&lab), "", "{engine:?}");
    }
    // The engine has made the container by the time this fails. Not under Podman, where runvf's hook finds out before.
    lab.ok("ip link set pf0 down").unwrap();
    let down = state(&lab);
    for engine in ENGINES {
        let told = "PF pf0 is down; `ip link set pf0 up`";
        refused(engine, "--annotation io.runvf.vlan=100", told);
        assert_untouched(&lab, &down);
    }
    lab.ok("ip link set pf0 up").unwrap();
    leave_as(lab, &before);
}

#[test]
fn refusals_and_plain_containers_with_runc() {
    refusals_and_plain_containers("runc");
}

#[test]
fn refusals_and_plain_containers_with_crun() {
    refusals_and_plain_containers("crun");
}

/// A container stays with whoever made it, whatever `runtime.toml` says meanwhile.
#[test]
fn another_engine_is_for_new_containers_only() {
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
        choose(&lab, first);
        start(&lab, engine, "sensor", "--annotation io.runvf.vlan=100");
        start(&lab, engine, "plain", "");
        choose(&lab, then);
        for name in ["sensor", "plain"] {
            let output = lab.ok(&format!("{program} exec {name} echo here")).unwrap();
            assert_eq!(output.text(), "here", "{case}");
        }
        lab.ok(&format!("{program} stop sensor && {program} rm -f sensor plain")).unwrap();
        assert_untouched(&lab, &before);
        assert_clean(&lab, 0, "enp1s0v0");
        assert_eq!(recorded(&lab), "", "{case}");
    }
    for engine in ENGINES {
        let output = run(&lab, engine, "", "true");
        let told = "/etc/runvf/runtime.toml: line 1: engine `no such engine` is not valid: expected builtin,";
        assert!(output.stderr.contains(told), "{output}");
    }
    leave_as(lab, &before);
}

#[test]
fn in_strict_mode_a_container_must_ask_for_a_vf() {
    let lab = prepared();
    let before = state(&lab);
    for delegate in ["builtin", "runc"] {
        let text = format!("engine = \"{delegate}\"\nrequire_annotation = true\n");
        lab.write(RUNTIME, text).unwrap();
        for engine in ENGINES {
            let output = run(&lab, engine, "", "echo it runs");
            assert_eq!(output.status, engine.refusal(), "{output}");
            let told = "the container requests no VF, but /etc/runvf/runtime.toml sets `require_annotation = true`; \
                add `--annotation io.runvf.vlan=<1-4094>`";
            assert!(output.stderr.contains(told), "{output}");
            assert_untouched(&lab, &before);
            let output = run(&lab, engine, "--annotation io.runvf.vlan=100", "echo it runs");
            assert_eq!(output.text(), "it runs", "{output}");
            assert_untouched(&lab, &before);
        }
    }
    leave_as(lab, &before);
}

#[test]
fn a_bundle_by_hand() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(&format!(
        "mkdir -p /var/log/sensor; cp -r --reflink=auto {BUNDLE} /tmp/b
         jq '.process.args = [\"sh\", \"-c\", \"cat /sys/class/net/mon0/carrier; exit 5\"]' {BUNDLE}/config.json > /tmp/b/config.json
         cp -r --reflink=auto /tmp/b /tmp/t
         jq '.process.terminal = true | .process.args[2] = \"tty\"' /tmp/b/config.json > /tmp/t/config.json"
    ))
    .unwrap();
    for delegate in ["runc", "crun"] {
        choose(&lab, delegate);
        let output = lab.sh("runvf run --bundle /tmp/b c").unwrap();
        assert_eq!((output.status, output.text()), (5, "1"), "{delegate}: {output}");
        let output = lab.ok("script -qec 'runvf run --bundle /tmp/t c' /dev/null").unwrap();
        assert!(output.text().ends_with("/dev/pts/0"), "{delegate}: {output}");
        assert_untouched(&lab, &before);

        lab.ok(&format!("runvf create --bundle {BUNDLE} c </dev/null >/dev/null 2>&1")).unwrap();
        assert_eq!(vf(&lab, "pf0", 0)["vlan_list"][0]["vlan"], 100);
        let output = lab.sh(&format!("runvf create --bundle {BUNDLE} c")).unwrap();
        assert_eq!(output.stderr, "runvf: container with given ID already exists: c\n");
        // A container whose VF was taken away does not start.
        lab.ok("echo 0000:01:10.0 > /sys/bus/pci/drivers/igbvf/unbind").unwrap();
        let output = lab.sh("runvf start c").unwrap();
        let refused = "runvf: container c has no VF for `mon0`; ";
        assert!(output.stderr.starts_with(refused), "{delegate}: {output}");
        lab.ok("runvf delete --force c").unwrap();
        crate::host::settle(&lab, 3);
        assert_clean(&lab, 0, "enp1s0v0");
        assert_eq!(recorded(&lab), "", "{delegate}");
        lab.ok(&format!(
            "runvf --version | grep -q 'engine: {delegate}'; runvf features | jq .hooks"
        ))
        .unwrap();
    }
    // What is Docker's idea of a runtime, in runvf's place.
    choose(&lab, "/usr/bin/runvf");
    let output = lab.sh("runvf list").unwrap();
    assert!(output.stderr.contains("engine /usr/bin/runvf is runvf itself"), "{output}");
    let image = format!("docker run --rm --network none --runtime runvf {IMAGE} true");
    assert_eq!(lab.sh(&image).unwrap().status, 125);
    lab.ok("rm -r /tmp/b /tmp/t /var/log/sensor").unwrap();
    leave_as(lab, &before);
}
