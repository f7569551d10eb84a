//! Proof that a claim is enough to clean up: the attach is killed, or its owner ends, and no
//! release runs.

use crate::engine::{Engine, run};
use crate::host::{assert_clean, leave, prepared, settle, state};

#[test]
fn the_next_attach_reconciles_the_claim_of_a_killed_attach() {
    let lab = prepared();
    let before = state(&lab);
    lab.sh(include_str!("scripts/killed_attach.sh")).unwrap();
    let claims = lab.ok("cat /run/runvf/claims/*.json").unwrap();
    assert!(claims.stdout.contains("\"vlan\": 55"), "{claims}");

    let output = run(
        &lab,
        Engine::PodmanHooks,
        "--annotation io.runvf.vlan=66",
        "cat /sys/class/net/mon0/carrier",
    );
    assert_eq!(output.text(), "1", "{output}");
    settle(&lab, 3);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

#[test]
fn gc_releases_the_vf_of_a_dead_owner() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(include_str!("scripts/gc_after_death.sh")).unwrap();
    settle(&lab, 3);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}
