//! Proof of `runvfctl probe`: it measures what the emulated card can do, and its VFs are free again
//! afterwards.

use lab::{HostKind, Lab, Output, Programs};
use serde_json::Value;

use crate::card::{ALLOW_PROMISC, Card};
use crate::hook_calls::{assert_free, functions};
use crate::host::{assert_untouched, configure, settle, state};

/// The verdicts on the 82576; on the X710 all are proven. The PF is promiscuous, so every VF of a VLAN receives
/// unknown unicast, trusted or not. No VF receives frames to the address of another VF, or to
/// multicast groups that it did not join.
const MEASURED: [(&str, &str); 10] = [
    ("vlan-set", "proven"),
    ("trust-set", "proven"),
    ("own-unicast", "proven"),
    ("broadcast", "proven"),
    ("multicast", "refuted"),
    ("unknown-unicast", "proven"),
    ("others-unicast", "refuted"),
    ("tag-stripped", "proven"),
    ("isolation", "proven"),
    ("trust-matters", "refuted"),
];

fn refused(output: &Output, line: &str) {
    assert_eq!(output.status, 1, "{output}");
    assert!(output.stderr.starts_with(&format!("runvfctl: {line}")), "{output}");
}

/// A host with a configured PF. VLAN 4094 belongs to a tenant.
pub(crate) fn probe_host(host: HostKind) -> Lab {
    let lab = Lab::with_runvf_on(host, Programs::WithFaultPoints).unwrap();
    functions(&lab);
    configure_pfs(&lab, "\"pf0\"");
    lab.ok(ALLOW_PROMISC).unwrap();
    lab
}

fn configure_pfs(lab: &Lab, pfs: &str) {
    configure(
        lab,
        &format!(
            "pool = [{{ name = \"sensors\", pfs = [{pfs}] }}]\n\
             tenant = [{{ name = \"acme\", vlans = [4094] }}]\n"
        ),
    );
}

/// Creates the VFs that a probe uses.
pub(crate) fn create_vfs(lab: &Lab) -> String {
    lab.ok("echo 7 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
    settle(lab, 7);
    state(lab)
}

pub(crate) fn probe_measures_the_card_and_frees_its_vfs(host: HostKind) {
    let lab = probe_host(host);
    let expected = match Card::of(&lab).trust_matters() {
        true => MEASURED.map(|(property, _)| (property.to_owned(), "proven".to_owned())),
        false => MEASURED.map(|(property, verdict)| (property.to_owned(), verdict.to_owned())),
    };
    let all_proven = expected.iter().all(|(_, verdict)| verdict == "proven");
    let probe = |what: &str| lab.sh(&format!("timeout 300 runvfctl probe {what}")).unwrap();
    refused(&probe("pf9"), "PF pf9 does not exist; see `runvfctl status`");
    refused(
        &probe("pf1"),
        "PF pf1 is in no pool; add it to a pool in /etc/runvf/config.toml; the PFs",
    );
    configure_pfs(&lab, "\"pf0\", \"pf1\"");
    lab.ok("ip link set pf1 down").unwrap();
    refused(&probe("pf1"), "PF pf1 is down; run `ip link set pf1 up`");
    refused(&probe("pf0"), "a probe needs 2 free VFs, but PF pf0 has 0: 0 claimed, 0 foreign");
    refused(&probe("pf0 --vlan 5 --other 5"), "`--vlan` and `--other` are both 5; ");

    let before = create_vfs(&lab);
    let output = probe("pf0 --json");
    assert_eq!(output.status, if all_proven { 0 } else { 2 }, "{output}");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let verdict = |one: &Value| {
        Some((one["property"].as_str()?.to_owned(), one["verdict"].as_str()?.to_owned()))
    };
    let verdicts: Vec<_> = findings.iter().map(|one| verdict(one).unwrap()).collect();
    assert_eq!(verdicts, expected, "{output}");
    // 4094 belongs to a tenant.
    assert_eq!((&report["vlan"], &report["other"]), (&4093.into(), &4092.into()), "{output}");
    assert_eq!(report["vfs"].as_array().map(Vec::len), Some(5), "{output}");
    assert_untouched(&lab, &before);
    assert_free(&lab, "after the probe");
    // The use of those VLANs is in the audit log, although it was only a probe.
    let audit = lab.json("runvfctl audit --json --container '(probe)'").unwrap();
    let of =
        |event: &str| audit.as_array().unwrap().iter().filter(|one| one["event"] == event).count();
    assert_eq!((of("attached"), of("released"), of("refused")), (5, 5, 0), "{audit}");
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super: probe_measures_the_card_and_frees_its_vfs);
}
