//! Proof of `runvfctl doctor`: it finds nothing on a good host, and each fault on a host that is
//! broken on purpose. It recommends `runvfctl init`, which is tested here, too.

use lab::Lab;
use serde_json::Value;

use crate::host::{CONFIG, installed};
use crate::registration::OLD_PODMAN;

/// The exit status and the findings.
fn diagnosis(lab: &Lab) -> (i32, Vec<Value>) {
    diagnosis_after(lab, "")
}

/// `before`: shell commands in front of the doctor.
fn diagnosis_after(lab: &Lab, before: &str) -> (i32, Vec<Value>) {
    let output = lab.sh(&format!("{before} runvfctl doctor --json")).unwrap();
    let all: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output}"));
    (output.status, all.as_array().unwrap().clone())
}

/// `CHECK OBJECT` of each finding of a severity.
fn of_severity(all: &[Value], severity: &str) -> Vec<String> {
    let name = |one: &Value| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        format!("{} {}", text("check"), text("of")).trim().to_owned()
    };
    all.iter().filter(|one| one["severity"] == severity).map(name).collect()
}

fn evidence(all: &[Value], check: &str) -> String {
    let found = all.iter().find(|one| one["check"] == check).unwrap_or_else(|| panic!("{check}"));
    found["evidence"].as_str().unwrap().to_owned()
}

#[test]
fn doctor_finds_each_fault_and_nothing_else() {
    let lab = installed();
    let (status, all) = diagnosis(&lab);
    let neither_runs = vec!["gc-timer".to_owned()];
    assert_eq!((status, of_severity(&all, "failure")), (2, neither_runs), "{all:#?}");
    // As `systemctl enable` does.
    lab.ok("mkdir -p /etc/systemd/system/timers.target.wants; ln -s /usr/lib/systemd/system/runvf-gc.timer /etc/systemd/system/timers.target.wants").unwrap();
    let (status, all) = diagnosis(&lab);
    assert_eq!((status, of_severity(&all, "failure")), (1, vec![]), "{all:#?}");
    assert_eq!(evidence(&all, "sriov"), "pf0, pf1, pf2");
    let good = of_severity(&all, "ok");
    for check in [
        "kernel",
        "iommu",
        "cgroup",
        "config",
        "programs",
        "docker",
        "docker-api",
        "podman",
        "link pf0",
        "promisc pf2",
    ] {
        assert!(good.iter().any(|one| one == check), "{check} is not among {good:?}");
    }

    let (status, all) = diagnosis_after(&lab, OLD_PODMAN);
    assert_eq!((status, of_severity(&all, "failure")), (2, vec!["podman".to_owned()]), "{all:#?}");

    lab.ok(include_str!("scripts/break_host.sh")).unwrap();
    let (status, all) = diagnosis(&lab);
    let expected = [
        "vf-driver pf0",
        "link pf1",
        "vf-driver pf1",
        "vf-driver pf2",
        "promisc pf2",
        "runtime-config",
    ];
    assert_eq!(
        (status, of_severity(&all, "failure")),
        (2, expected.map(str::to_owned).to_vec()),
        "{all:#?}"
    );
    let shown = lab.sh("runvfctl doctor").unwrap();
    assert_eq!(shown.status, 2, "{shown}");
    assert!(shown.stdout.contains("-> run `ip link set pf1 up` or `runvfctl setup`\n"), "{shown}");
    assert!(!shown.stdout.contains('\x1b'), "{shown}");
    lab.ok("ip link set pf1 up; ip link set pf2 promisc on; rm /etc/modprobe.d/x.conf /etc/runvf/runtime.toml").unwrap();

    lab.ok(&format!("chmod 666 {CONFIG}; echo '{{}}' > /etc/docker/daemon.json")).unwrap();
    let (status, all) = diagnosis(&lab);
    assert_eq!((status, of_severity(&all, "failure")), (2, vec!["config".to_owned()]), "{all:#?}");
    assert!(of_severity(&all, "warning").contains(&"docker".to_owned()), "{all:#?}");

    let refused = lab.sh("runvfctl init").unwrap();
    assert_eq!(refused.status, 1, "{refused}");
    assert!(refused.stderr.contains("already exists; use --force to replace it"), "{refused}");
    lab.ok("runvfctl init --force; runvfctl setup").unwrap();
    let (status, all) = diagnosis(&lab);
    assert_eq!((status, of_severity(&all, "failure")), (1, vec![]), "{all:#?}");
    assert!(of_severity(&all, "ok").contains(&"vfs pf1".to_owned()), "{all:#?}");
}
