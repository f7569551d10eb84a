//! `runvfctl probe` on a PF that is not promiscuous, and probes that are killed or stopped.

use std::time::Duration;

use lab::HostKind;

use crate::card::I82576;
use crate::hook_calls::{assert_free, gc};
use crate::host::assert_untouched;
use crate::probe::{create_vfs, probe_host};

#[test]
fn probe_finds_that_the_pf_is_not_promiscuous() {
    let lab = probe_host(I82576);
    create_vfs(&lab);
    let blind = lab.sh("ip link set pf0 promisc off; timeout 300 runvfctl probe pf0; code=$?; ip link set pf0 promisc on; (exit $code)").unwrap();
    assert_eq!(blind.status, 2, "{blind}");
    let row = "unknown-unicast  REFUTED       0 of 10 arrived, but a later frame did: igb delivers unknown unicast to VFs only while the \
               PF itself is promiscuous; run `runvfctl setup` or `ip link set pf0 promisc on`\n";
    assert!(blind.stdout.contains(row), "{blind}");
    assert!(
        blind.stdout.contains("trust-matters    not testable  the trusted VF saw no"),
        "{blind}"
    );
    assert!(blind.stdout.ends_with("all VFs are clean and free\n"), "{blind}");
}

pub(crate) fn a_killed_or_stopped_probe_leaves_no_vf_claimed(host: HostKind) {
    let lab = probe_host(host);
    let before = create_vfs(&lab);
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

    lab.ok("runvfctl probe pf0 > /tmp/output 2>&1 & echo $! > /tmp/probe.pid").unwrap();
    lab.wait_until(Duration::from_secs(60), "grep -q configured /run/runvf/claims/0*.json")
        .unwrap();
    lab.ok("kill -INT $(cat /tmp/probe.pid)").unwrap();
    lab.wait_until(Duration::from_secs(120), "! kill -0 $(cat /tmp/probe.pid) 2> /dev/null")
        .unwrap();
    let output = lab.ok("cat /tmp/output").unwrap();
    assert!(output.stdout.ends_with("runvfctl: the probe of PF pf0 was interrupted\n"), "{output}");
    assert_free(&lab, "after a probe that was stopped");
    assert_untouched(&lab, &before);
}
