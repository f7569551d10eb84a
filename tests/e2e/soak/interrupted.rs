//! A claim that cannot be read, and a PF that stays locked.

use std::time::Duration;

use lab::HostKind;

use crate::card::Card;
use crate::engine::{Engine, run};
use crate::hook_calls::{assert_free, functions, vlans, with};
use crate::host::{leave, prepared_on, state};

fn an_unreadable_claim_is_shown_and_its_vf_is_not_used(host: HostKind) {
    let lab = prepared_on(host);
    let before = state(&lab);
    let claim = Card::of(&lab).claim(0);
    lab.ok(&format!("mkdir -p -m 700 /run/runvf/claims; echo '{{' > {claim}")).unwrap();
    let output = run(
        &lab,
        Engine::PodmanHooks,
        "--annotation io.runvf.vlan=66",
        "cat /sys/class/net/mon0/address",
    );
    assert_eq!(output.status, 0, "{output}");
    lab.ok("runvfctl status | grep -q 'unreadable'; runvfctl status | grep -q 'is not a claim: EOF while parsing'")
        .unwrap();
    lab.ok(&format!("rm {claim}")).unwrap();
    leave(lab, &before);
}

/// Docker gives a `delete` 30 s. The VFs together wait for their PF no longer than 18 s, so that the
/// whole command ends within 20 s.
pub(crate) fn a_delete_beside_a_locked_pf_ends_within_20_seconds(host: HostKind) {
    let lab = prepared_on(host);
    let before = state(&lab);
    functions(&lab);
    let bundle = "/var/lib/runvf-bundles/tcpdump";
    let two_vfs = format!(
        "mkdir -p /tmp/b /var/log/sensor
         jq '.annotations[\"io.runvf.vlan.tap1\"] = \"200\" | .root.path = \"{bundle}/rootfs\"' {bundle}/config.json \
             > /tmp/b/config.json
         runvf create --bundle /tmp/b a < /dev/null > /dev/null 2>&1"
    );
    lab.ok(&two_vfs).unwrap();
    assert_eq!(vlans(&lab).len(), 2);
    // The time of the guest, because the shell around it is slow, too.
    let delete = "lock; time runvf delete --force a || true; unlock";
    let output = lab.sh_within(Duration::from_secs(120), &with(delete)).unwrap();
    let time =
        output.stderr.lines().find_map(|line| line.strip_prefix("real\t0m")).expect("a time");
    let seconds: f32 = time.trim_end_matches('s').parse().unwrap();
    assert!((17.0..20.0).contains(&seconds), "{seconds} s: {output}");
    let left = output.stderr.lines().filter(|line| line.contains("was not released")).count();
    assert_eq!(left, 2, "{output}");
    lab.ok("runvfctl gc").unwrap();
    assert_free(&lab, "after gc");
    leave(lab, &before);
}

mod on_the_82576 {
    use crate::card::{I82576, tests_on};

    tests_on!(I82576, super:
        an_unreadable_claim_is_shown_and_its_vf_is_not_used,
        a_delete_beside_a_locked_pf_ends_within_20_seconds,
    );
}
