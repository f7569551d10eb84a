//! A process that is killed in the middle leaves a claim, and the claim is enough to clean up by.

use crate::engine::{Engine, run};
use crate::host::{assert_clean, leave, prepared, settle, state};

/// A hook that is killed right after it has claimed a VF.
#[test]
fn the_claim_of_a_killed_attach_is_taken_back_by_the_next() {
    let lab = prepared();
    let before = state(&lab);
    // Killed as soon as the claim is on disk: somewhere between that and its end, wherever this run happens to meet it.
    lab.sh(
        "unshare -n sleep 1000 & target=$!
         until [ $(readlink /proc/$target/ns/net) != $(readlink /proc/self/ns/net) ]; do :; done
         echo \"{\\\"id\\\":\\\"x\\\",\\\"pid\\\":$target,\\\"annotations\\\":{\\\"io.runvf.vlan\\\":\\\"55\\\"}}\" > /tmp/state
         /usr/libexec/runvf/runvf-hook attach < /tmp/state & hook=$!
         until [ -e /run/runvf/claims/0000:01:10.0.json ] || ! kill -0 $hook; do :; done
         kill -9 $hook
         kill -9 $target
         wait",
    )
    .unwrap();
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
fn gc_takes_back_what_nobody_else_does() {
    let lab = prepared();
    let before = state(&lab);
    lab.ok(
        "unshare -n sleep 1000 & target=$!
         until [ $(readlink /proc/$target/ns/net) != $(readlink /proc/self/ns/net) ]; do :; done
         echo \"{\\\"id\\\":\\\"x\\\",\\\"pid\\\":$target,\\\"annotations\\\":{\\\"io.runvf.vlan\\\":\\\"55\\\"}}\" |
             /usr/libexec/runvf/runvf-hook attach
         runvfctl status | grep -q 'attached *55 *on'
         # It lives: it is left alone.
         runvfctl gc; runvfctl status | grep -q 'attached *55 *on'
         kill -9 $target; wait $target || true
         runvfctl gc | grep -q '0000:01:10.0 clean and free'",
    )
    .unwrap();
    settle(&lab, 3);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

#[test]
fn what_is_no_claim_keeps_its_vf_out_of_use_and_is_shown() {
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
