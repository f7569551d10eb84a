//! A claim that cannot be read.

use crate::engine::{Engine, run};
use crate::host::{leave, prepared, state};

#[test]
fn an_unreadable_claim_is_shown_and_its_vf_is_not_used() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok("mkdir -p -m 700 /run/runvf/claims; echo '{' > /run/runvf/claims/0000:01:10.0.json")
        .unwrap();
    let output = run(
        &lab,
        Engine::PodmanHooks,
        "--annotation io.runvf.vlan=66",
        "cat /sys/class/net/mon0/address",
    );
    assert_eq!(output.status, 0, "{output}");
    lab.ok("runvfctl status | grep -q 'unreadable'; runvfctl status | grep -q 'is not a claim: EOF while parsing'")
        .unwrap();
    lab.ok("rm /run/runvf/claims/0000:01:10.0.json").unwrap();
    leave(lab, &before);
}
