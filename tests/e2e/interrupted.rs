//! Proof that a claim is enough to clean up: the attach is killed, or its owner ends, and no
//! release runs.

use lab::HostKind;

use crate::card::Card;
use crate::engine::{Engine, run};
use crate::hook_calls::{assert_free, functions, vlans, with};
use crate::host::{assert_clean, configure, leave, prepared_on, settle, state};
use crate::script::script;

pub(crate) fn the_next_attach_reconciles_the_claim_of_a_killed_attach(host: HostKind) {
    let lab = prepared_on(host);
    let before = state(&lab);
    let claim = Card::of(&lab).claim(0);
    lab.sh(&script(include_str!("scripts/killed_attach.sh"), &[("claim", &claim)])).unwrap();
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

pub(crate) fn gc_releases_the_vf_of_a_dead_owner(host: HostKind) {
    let lab = prepared_on(host);
    let before = state(&lab);
    let vf = Card::of(&lab).vf(0);
    lab.ok(&script(include_str!("scripts/gc_after_death.sh"), &[("vf", &vf)])).unwrap();
    settle(&lab, 3);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

/// After a downgrade of runvf. An engine must be able to remove the container.
pub(crate) fn a_claim_of_a_newer_runvf_is_kept_and_named(host: HostKind) {
    let lab = prepared_on(host);
    let before = state(&lab);
    functions(&lab);
    lab.ok(&with("holder a 100; attach a")).unwrap();
    let card = Card::of(&lab);
    let (vf, claim) = (card.vf(0), card.claim(0));
    let change = |filter: &str| {
        lab.ok(&format!("jq '{filter}' {claim} > /tmp/claim; cat /tmp/claim > {claim}")).unwrap();
    };
    change(".version = 4 | .state = {parked: {}} | .resets = [1]");
    let told = "was written by a newer runvf: it has version 4, and this runvf reads claims up to version 3";
    for command in ["gc", "status", "doctor", &format!("repair {vf}")] {
        let output = lab.sh(&format!("runvfctl {command} 2>&1")).unwrap();
        assert!(output.stdout.contains(told), "{command}: {output}");
    }
    let released = lab.ok(&with("end a; detach a")).unwrap();
    let complaint =
        format!("runvf: VF {vf} (mon0 of a) was not released and keeps its VLAN: {claim} {told}; ");
    assert!(released.stderr.contains(&complaint), "{released}");
    lab.ok(&format!(
        "jq -e '.version == 4 and .state == {{parked: {{}}}} and .resets == [1]' {claim}"
    ))
    .unwrap();

    // After the next upgrade. The fields that the older runvf does not know are still there.
    change(".version = 1 | .state = \"attached\"");
    let driver_override = format!("/sys/bus/pci/devices/{vf}/driver_override");
    lab.ok(&format!("echo none > {driver_override}; runvfctl gc || [ $? = 3 ]")).unwrap();
    lab.ok(&format!("jq -e '.state.quarantined and .resets == [1]' {claim}")).unwrap();
    lab.ok(&format!("echo > {driver_override}; runvfctl repair")).unwrap();
    assert_free(&lab, "after the upgrade");
    leave(lab, &before);
}

/// A PF that is locked or hangs must not delay a container that cannot get a VF of it.
pub(crate) fn an_attach_reconciles_only_the_pfs_that_it_may_use(host: HostKind) {
    let lab = prepared_on(host);
    let before = state(&lab);
    functions(&lab);
    let pool =
        |name: &str, pf: &str| format!("[[pool]]\nname = \"{name}\"\npfs = [\"{pf}\"]\nvfs = 3\n");
    let tenant = |name: &str, vlan: u16, pool: &str| {
        format!("[[tenant]]\nname = \"{name}\"\nvlans = [{vlan}]\npools = [\"{pool}\"]\n")
    };
    let parts = [
        pool("east", "pf0"),
        pool("west", "pf1"),
        tenant("acme", 100, "east"),
        tenant("bravo", 200, "west"),
    ];
    configure(&lab, &parts.concat());
    // b's namespace exists before a's ends, so it does not get the same inode number.
    lab.ok(&with("holder a 100; attach a; holder b 200; end a; attach b")).unwrap();
    let on = || vlans(&lab).into_iter().map(|vf| vf.0).collect::<Vec<_>>();
    assert_eq!(on(), [100, 200], "the claim of a is not of the PF of b");
    lab.ok(&with("holder c 100; attach c")).unwrap();
    assert_eq!(on(), [100, 200]);
    lab.ok("[ $(ls /run/runvf/claims/*.json | wc -l) = 2 ]").unwrap();
    lab.ok(&with("for name in b c; do end $name; detach $name; done; echo 0 > /sys/class/net/pf1/device/sriov_numvfs"))
        .unwrap();
    assert_free(&lab, "after all were released");
    leave(lab, &before);
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super:
        the_next_attach_reconciles_the_claim_of_a_killed_attach,
        gc_releases_the_vf_of_a_dead_owner,
        a_claim_of_a_newer_runvf_is_kept_and_named,
        an_attach_reconciles_only_the_pfs_that_it_may_use,
    );
}
