//! Proof of `runvfctl doctor`: it finds nothing on a good host, and each fault on a host that is
//! broken on purpose. It recommends `runvfctl init`, which is tested here, too.

use lab::{HostKind, Lab};
use serde_json::Value;

use crate::card::{ALLOW_PROMISC, Card};
use crate::host::{CONFIG, installed_on};
use crate::registration::OLD_PODMAN;
use crate::script::script;

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

pub(crate) fn doctor_finds_each_fault_and_nothing_else(host: HostKind) {
    let lab = installed_on(host);
    let card = Card::of(&lab);
    let pfs = card.pfs();
    let last = pfs.last().unwrap();
    let promisc_of_last = format!("promisc {last}");
    if card.needs_private_flag() {
        let (status, all) = diagnosis(&lab);
        let promisc = pfs.iter().map(|pf| format!("promisc {pf}"));
        let expected: Vec<_> = promisc.chain(["gc-timer".to_owned()]).collect();
        assert_eq!((status, of_severity(&all, "failure")), (2, expected), "{all:#?}");
        lab.ok(ALLOW_PROMISC).unwrap();
    }
    let (status, all) = diagnosis(&lab);
    let neither_runs = vec!["gc-timer".to_owned()];
    assert_eq!((status, of_severity(&all, "failure")), (2, neither_runs), "{all:#?}");
    // As `systemctl enable` does.
    lab.ok("mkdir -p /etc/systemd/system/timers.target.wants; ln -s /usr/lib/systemd/system/runvf-gc.timer /etc/systemd/system/timers.target.wants").unwrap();
    let (status, all) = diagnosis(&lab);
    assert_eq!((status, of_severity(&all, "failure")), (1, vec![]), "{all:#?}");
    assert_eq!(evidence(&all, "sriov"), pfs.join(", "));
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
        "podman-network",
        "link pf0",
        promisc_of_last.as_str(),
    ] {
        assert!(good.iter().any(|one| one == check), "{check} is not among {good:?}");
    }

    let (status, all) = diagnosis_after(&lab, OLD_PODMAN);
    assert_eq!((status, of_severity(&all, "failure")), (2, vec!["podman".to_owned()]), "{all:#?}");

    let parameters = [("last", last.as_str()), ("module", card.vf_driver)];
    lab.ok(&script(include_str!("scripts/break_host.sh"), &parameters)).unwrap();
    let (status, all) = diagnosis(&lab);
    let mut expected = Vec::new();
    for pf in &pfs {
        expected.extend((pf == "pf1").then(|| format!("link {pf}")));
        expected.push(format!("vf-driver {pf}"));
        expected.extend((pf == last).then(|| promisc_of_last.clone()));
    }
    expected.push("runtime-config".to_owned());
    assert_eq!((status, of_severity(&all, "failure")), (2, expected), "{all:#?}");
    let shown = lab.sh("runvfctl doctor").unwrap();
    assert_eq!(shown.status, 2, "{shown}");
    assert!(shown.stdout.contains("-> run `ip link set pf1 up` or `runvfctl setup`\n"), "{shown}");
    assert!(!shown.stdout.contains('\x1b'), "{shown}");
    lab.ok(&format!(
        "ip link set pf1 up; ip link set {last} promisc on; {ALLOW_PROMISC}
         rm /etc/modprobe.d/x.conf /etc/runvf/runtime.toml"
    ))
    .unwrap();

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

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super: doctor_finds_each_fault_and_nothing_else);
}
