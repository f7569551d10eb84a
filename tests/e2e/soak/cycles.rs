//! Proof that no release ends in quarantine by chance: one container after the other gets the same VF,
//! and after each release no VF has anything of it.

use lab::{HostKind, Lab};

use crate::hook_calls::{assert_free, functions, seed, with};
use crate::host::{leave, leave_set_up, prepared_on, set_up_on, state};
use crate::script::script;
use crate::switch::assert_switch_is_clean;

/// Free VFs have a driver on the one host, and rest as is best for the card on the other one.
fn on_both_rests(host: HostKind, run: impl Fn(&Lab)) {
    for (make, leave) in
        [(prepared_on as fn(HostKind) -> Lab, leave as fn(Lab, &str)), (set_up_on, leave_set_up)]
    {
        let lab = make(host);
        let before = state(&lab);
        functions(&lab);
        run(&lab);
        assert_free(&lab, "after all");
        leave(lab, &before);
    }
}

/// `count` attaches and releases, half of them on each host.
pub(crate) fn no_release_ends_in_quarantine(host: HostKind, count: usize) {
    on_both_rests(host, |lab| {
        for nth in 0..count / 2 {
            let cycle = format!(
                "holder c {}; attach c; nsenter -n -t $(cat /tmp/c.pid) ip link show mon0 | grep -q PROMISC
                 end c; detach c; [ -z \"$(ls -A /run/runvf/claims)\" ]",
                100 + nth
            );
            let done = lab.sh(&format!("set -e -o pipefail; {}", with(&cycle))).unwrap();
            assert!(done.success(), "{nth}: {done}\n{}", lab.sh("runvfctl status").unwrap());
            assert_switch_is_clean(lab);
        }
    });
}

/// `count` attaches and releases. Most of them are killed at a random moment. After each, one `gc`
/// finishes the work.
pub(crate) fn random_kills_lose_no_vf(host: HostKind, count: u64) {
    let seed = seed();
    let lab = set_up_on(host);
    let before = state(&lab);
    functions(&lab);
    let mut killed: u64 = 0;
    for nth in 0..count {
        let case = format!("RUNVF_SEED={seed}, {nth}");
        let (random, vlan) = ((seed + nth).to_string(), (100 + nth).to_string());
        let parameters = [("seed", random.as_str()), ("number", vlan.as_str())];
        let cycle = script(include_str!("../scripts/killed_cycle.sh"), &parameters);
        let done = lab.sh(&cycle).unwrap();
        assert!(done.success(), "{case}: {done}\n{}", lab.sh("runvfctl status").unwrap());
        killed += done.stdout.lines().map(|line| u64::from(line == "killed")).sum::<u64>();
        assert_switch_is_clean(&lab);
    }
    eprintln!("RUNVF_SEED={seed}: {killed} of {} killed", 2 * count);
    assert!(2 * killed > count, "most kills came too late");
    assert_free(&lab, "after all");
    leave_set_up(lab, &before);
}

pub(crate) fn thirty_releases_end_in_no_quarantine(host: HostKind) {
    no_release_ends_in_quarantine(host, 30);
}
