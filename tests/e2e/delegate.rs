//! Proof of `engine = "runc"` and `engine = "crun"`: another runtime makes the containers, and
//! runvf only attaches their VFs.

use lab::Lab;

use crate::engine::{Engine, IMAGE};
use crate::host::{assert_clean, assert_untouched, leave, prepared, settle, state, vf};

pub(crate) const RUNTIME: &str = "/etc/runvf/runtime.toml";
pub(crate) const ENGINES: [Engine; 2] = [Engine::Docker, Engine::PodmanRuntime];
const BUNDLE: &str = "/var/lib/runvf-bundles/tcpdump";

pub(crate) fn choose_engine(lab: &Lab, delegate: &str) {
    lab.write(RUNTIME, format!("engine = \"{delegate}\"\n")).unwrap();
}

/// As [`leave`], after the default engine is restored.
pub(crate) fn leave_with_default_engine(lab: Lab, before: &str) {
    lab.ok(&format!("rm {RUNTIME}")).unwrap();
    leave(lab, before);
}

/// The engines that the records of living containers name.
pub(crate) fn recorded_engines(lab: &Lab) -> String {
    let records = "(find /run/runvf/delegated -type f 2>/dev/null || true) | xargs -r jq -r .engine | sort -u";
    lab.ok(records).unwrap().text().to_owned()
}

/// A runtime that cannot run does not mean that the container is missing: the container keeps its
/// VF, which is checked at the start.
fn a_broken_runtime_is_not_a_missing_container(lab: &Lab) {
    let broken = "echo 'libseccomp.so.2: cannot open shared object file: No such file or directory' >&2; exit 127";
    let flaky = format!("#!/bin/sh\n[ ! -e /tmp/broken ] || {{ {broken}; }}\nexec runc \"$@\"\n");
    lab.write("/tmp/flaky", flaky).unwrap();
    lab.ok("chmod 755 /tmp/flaky").unwrap();
    choose_engine(lab, "/tmp/flaky");
    lab.ok(&format!(
        "runvf create --bundle {BUNDLE} c </dev/null >/dev/null 2>&1; touch /tmp/broken"
    ))
    .unwrap();
    for command in [format!("create --bundle {BUNDLE} c"), "delete --force c".to_owned()] {
        let output = lab.sh(&format!("runvf {command}")).unwrap();
        assert!(!output.success() && output.stderr.contains("libseccomp.so.2"), "{output}");
        assert_eq!(vf(lab, "pf0", 0)["vlan_list"][0]["vlan"], 100, "{command}");
    }
    lab.ok("rm /tmp/broken; echo 0000:01:10.0 > /sys/bus/pci/drivers/igbvf/unbind").unwrap();
    let output = lab.sh("runvf start c").unwrap();
    assert!(output.stderr.starts_with("runvf: container c has no VF for interface"), "{output}");
    lab.ok("runvf delete --force c; rm /tmp/flaky").unwrap();
    settle(lab, 3);
    assert_clean(lab, 0, "enp1s0v0");
}

#[test]
fn a_bundle_runs_under_runc_and_crun() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(include_str!("scripts/delegate_bundles.sh")).unwrap();
    for delegate in ["runc", "crun"] {
        choose_engine(&lab, delegate);
        let output = lab.sh("runvf run --bundle /tmp/b c").unwrap();
        assert_eq!((output.status, output.text()), (5, "1"), "{delegate}: {output}");
        let output = lab.ok("script -qec 'runvf run --bundle /tmp/t c' /dev/null").unwrap();
        assert!(output.text().ends_with("/dev/pts/0"), "{delegate}: {output}");
        assert_untouched(&lab, &before);

        lab.ok(&format!("runvf create --bundle {BUNDLE} c </dev/null >/dev/null 2>&1")).unwrap();
        assert_eq!(vf(&lab, "pf0", 0)["vlan_list"][0]["vlan"], 100);
        let output = lab.sh(&format!("runvf create --bundle {BUNDLE} c")).unwrap();
        assert_eq!(output.stderr, "runvf: container with given ID already exists: c\n");
        // A container that lost its VF does not start.
        lab.ok("echo 0000:01:10.0 > /sys/bus/pci/drivers/igbvf/unbind").unwrap();
        let output = lab.sh("runvf start c").unwrap();
        let refused = "runvf: container c has no VF for interface `mon0`; ";
        assert!(output.stderr.starts_with(refused), "{delegate}: {output}");
        lab.ok("runvf delete --force c").unwrap();
        settle(&lab, 3);
        assert_clean(&lab, 0, "enp1s0v0");
        assert_eq!(recorded_engines(&lab), "", "{delegate}");
        lab.ok(&format!(
            "runvf --version | grep -q 'engine: {delegate}'; runvf features | jq .hooks"
        ))
        .unwrap();
    }
    a_broken_runtime_is_not_a_missing_container(&lab);
    // runvf must not call itself.
    choose_engine(&lab, "/usr/bin/runvf");
    let output = lab.sh("runvf list").unwrap();
    assert!(output.stderr.contains("engine /usr/bin/runvf is runvf itself"), "{output}");
    let image = format!("docker run --rm --network none --runtime runvf {IMAGE} true");
    assert_eq!(lab.sh(&image).unwrap().status, 125);
    lab.ok("rm -r /tmp/b /tmp/t /var/log/sensor").unwrap();
    leave_with_default_engine(lab, &before);
}
