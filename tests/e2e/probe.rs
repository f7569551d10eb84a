//! Proof of `runvfctl probe`: it measures what the emulated card can do, and its VFs are free again
//! afterwards.

use lab::{Lab, Output, Programs};
use serde_json::Value;

use crate::hook_calls::{assert_free, functions};
use crate::host::{assert_untouched, configure, settle, state};

/// The verdicts on the card of the lab. Its PF is promiscuous, so every VF of a VLAN receives
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

/// A host with two configured PFs, one of them down. VLAN 4094 belongs to a tenant.
pub(crate) fn probe_host() -> Lab {
    let lab = Lab::with_runvf(Programs::WithFaultPoints).unwrap();
    functions(&lab);
    configure(
        &lab,
        "pool = [{ name = \"sensors\", pfs = [\"pf0\", \"pf2\"] }]\n\
         tenant = [{ name = \"acme\", vlans = [4094] }]\n",
    );
    lab.ok("ip link set pf2 down").unwrap();
    lab
}

/// Creates the VFs that a probe uses.
pub(crate) fn create_vfs(lab: &Lab) -> String {
    lab.ok("echo 7 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
    settle(lab, 7);
    state(lab)
}

#[test]
fn probe_measures_the_card_and_frees_its_vfs() {
    let lab = probe_host();
    let probe = |what: &str| lab.sh(&format!("timeout 300 runvfctl probe {what}")).unwrap();
    refused(&probe("pf9"), "PF pf9 does not exist; see `runvfctl status`");
    refused(
        &probe("pf1"),
        "PF pf1 is in no pool; add it to a pool in /etc/runvf/config.toml; the PFs",
    );
    refused(&probe("pf2"), "PF pf2 is down; run `ip link set pf2 up`");
    refused(&probe("pf0"), "a probe needs 2 free VFs, but PF pf0 has 0: 0 claimed, 0 foreign");
    refused(&probe("pf0 --vlan 5 --other 5"), "`--vlan` and `--other` are both 5; ");

    let before = create_vfs(&lab);
    let output = probe("pf0 --json");
    assert_eq!(output.status, 2, "{output}");
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let verdict = |one: &Value| {
        Some((one["property"].as_str()?.to_owned(), one["verdict"].as_str()?.to_owned()))
    };
    let verdicts: Vec<_> = findings.iter().map(|one| verdict(one).unwrap()).collect();
    assert_eq!(verdicts, MEASURED.map(|(a, b)| (a.to_owned(), b.to_owned())), "{output}");
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
