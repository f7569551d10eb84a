//! `runvfctl probe` on the emulated card: what it can do and what it cannot, and VFs that are free again however the probe ends.

use std::time::Duration;

use lab::{Lab, Output, Programs};
use serde_json::Value;

use crate::holder::{assert_free, functions, gc};
use crate::host::{assert_untouched, configure, settle, state};

/// The lab's card as measured. Its PF is promiscuous, so every VF of a VLAN sees unknown unicast, trusted or not; what is for the
/// address of another VF, and groups that nobody joined, no VF sees.
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

#[test]
fn the_card_is_told_as_it_is_and_its_vfs_are_free_again() {
    let lab = Lab::with_runvf(Programs::WithFaultPoints).unwrap();
    functions(&lab);
    configure(
        &lab,
        "pool = [{ name = \"sensors\", pfs = [\"pf0\", \"pf2\"] }]\n\
         tenant = [{ name = \"acme\", vlans = [4094] }]\n",
    );
    lab.ok("ip link set pf2 down").unwrap();
    let probe = |what: &str| lab.sh(&format!("timeout 300 runvfctl probe {what}")).unwrap();
    refused(&probe("pf9"), "there is no PF pf9 on this machine; see `runvfctl status`");
    refused(
        &probe("pf1"),
        "PF pf1 is in no pool; add it to one in /etc/runvf/config.toml; the PFs",
    );
    refused(&probe("pf2"), "PF pf2 is down; `ip link set pf2 up`");
    refused(&probe("pf0"), "PF pf0 has 0 free VFs and a probe needs 2: 0 claimed, 0 in use by");
    refused(&probe("pf0 --vlan 5 --other 5"), "VLAN 5 cannot be kept apart from itself; ");

    lab.ok("echo 7 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
    settle(&lab, 7);
    let before = state(&lab);
    let output = probe("pf0 --json");
    assert_eq!(output.status, 2, "{output}");
    let told: Value = serde_json::from_str(&output.stdout).unwrap();
    let findings = told["findings"].as_array().unwrap();
    let verdict = |one: &Value| {
        Some((one["property"].as_str()?.to_owned(), one["verdict"].as_str()?.to_owned()))
    };
    let verdicts: Vec<_> = findings.iter().map(|one| verdict(one).unwrap()).collect();
    assert_eq!(verdicts, MEASURED.map(|(a, b)| (a.to_owned(), b.to_owned())), "{output}");
    // 4094 is a tenant's.
    assert_eq!((&told["vlan"], &told["other"]), (&4093.into(), &4092.into()), "{output}");
    assert_eq!(told["vfs"].as_array().map(Vec::len), Some(5), "{output}");
    assert_untouched(&lab, &before);
    assert_free(&lab, "after the probe");
    // Somebody was on those VLANs, if only the operator.
    let audit = lab.json("runvfctl audit --json --container '(probe)'").unwrap();
    let of =
        |event: &str| audit.as_array().unwrap().iter().filter(|one| one["event"] == event).count();
    assert_eq!((of("attached"), of("released"), of("refused")), (5, 5, 0), "{audit}");

    // What is not so on a PF that is not promiscuous itself.
    let blind = lab.sh("ip link set pf0 promisc off; timeout 300 runvfctl probe pf0; code=$?; ip link set pf0 promisc on; (exit $code)").unwrap();
    assert_eq!(blind.status, 2, "{blind}");
    let row = "unknown-unicast  REFUTED       0 of 10 arrived, but a later frame did: igb delivers unknown unicast to VFs only while the \
               PF itself is promiscuous; run `runvfctl setup` or `ip link set pf0 promisc on`\n";
    assert!(blind.stdout.contains(row), "{blind}");
    assert!(
        blind.stdout.contains("trust-matters    not testable  the trusted VF saw no"),
        "{blind}"
    );
    assert!(blind.stdout.ends_with("all VFs are clean and free again\n"), "{blind}");

    for fault in ["vf-set:2", "move:1", "frame-send:1", "claim-remove:1"] {
        let killed = lab
            .sh(&format!("RUNVF_FAULT={fault}:kill timeout 300 runvfctl probe pf0; (exit $?)"))
            .unwrap();
        assert_eq!(killed.status, 137, "{fault}: {killed}");
        let cleaned = gc(&lab);
        assert!(
            !cleaned.is_empty() && cleaned.iter().all(|one| one.1 == "clean"),
            "{fault}: {cleaned:?}"
        );
        assert_free(&lab, fault);
    }

    lab.ok("runvfctl probe pf0 > /tmp/said 2>&1 & echo $! > /tmp/probe.pid").unwrap();
    lab.wait_until(Duration::from_secs(60), "grep -q configured /run/runvf/claims/0*.json")
        .unwrap();
    lab.ok("kill -INT $(cat /tmp/probe.pid)").unwrap();
    lab.wait_until(Duration::from_secs(120), "! kill -0 $(cat /tmp/probe.pid) 2> /dev/null")
        .unwrap();
    let said = lab.ok("cat /tmp/said").unwrap();
    assert!(said.stdout.ends_with("runvfctl: the probe of PF pf0 was stopped\n"), "{said}");
    assert_free(&lab, "after a probe that was stopped");
    assert_untouched(&lab, &before);
}
