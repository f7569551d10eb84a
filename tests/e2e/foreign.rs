//! Releases that come late or twice, claims that are not what runvf wrote, and VFs that are somebody else's.

use lab::Lab;
use serde_json::Value;

use crate::hook_calls::{assert_free, functions, gc, status, vlans, with};
use crate::host::{leave, prepared, state};

const FIRST: &str = "0000:01:10.0";
const SECOND: &str = "0000:01:10.2";
const CLAIM: &str = "/run/runvf/claims/0000:01:10.0.json";

/// A host, and its state.
fn host() -> (Lab, String) {
    let lab = prepared();
    functions(&lab);
    let before = state(&lab);
    (lab, before)
}

fn ok(lab: &Lab, script: &str) {
    lab.ok(&with(script)).unwrap();
}

/// Everything of a container's VF: VLAN and trust on its PF, and its links from inside. Statistics are left out.
fn theirs(lab: &Lab, name: &str, vlan: u64) -> (Vec<(u64, bool, String)>, Value) {
    let found = vlans(lab).into_iter().filter(|(found, _, _)| *found == vlan).collect();
    let links = format!("nsenter -n -t $(cat /tmp/{name}.pid) ip -j -d link");
    (found, lab.json(&links).unwrap())
}

fn on_first(vlan: u64) -> Vec<(u64, bool, String)> {
    vec![(vlan, true, FIRST.to_owned())]
}

#[test]
fn late_and_double_releases_change_nothing() {
    let (lab, untouched) = host();
    ok(&lab, "holder a 11; attach a; end a; detach a; holder b 22; attach b");
    let before = theirs(&lab, "b", 22);
    assert_eq!(before.0, on_first(22), "the VF that a had");
    let claim = lab.pull(CLAIM).unwrap();

    ok(&lab, "detach a; detach a");
    let none = lab.sh("runvfctl release a").unwrap();
    let said = "runvfctl: no VF is claimed for a; see `runvfctl status`\n";
    assert_eq!((none.status, none.stderr.as_str()), (1, said), "{none}");
    let refused = lab.sh("runvfctl release 0000:01:10.0").unwrap();
    assert_eq!(refused.status, 3, "{refused}");
    assert_eq!(gc(&lab), []);
    assert_eq!(theirs(&lab, "b", 22), before);
    assert_eq!(lab.pull(CLAIM).unwrap(), claim);

    ok(&lab, "end b; detach b; detach b");
    assert_free(&lab, "after b");
    leave(lab, &untouched);
}

/// The lock of the first PF is somebody's until `unlock`; `waiting` is when a hook has come to it.
const BUSY: &str = r#"
lock=/run/runvf/locks/0000:01:00.0.lock
busy() { flock $lock sleep 1000 < /dev/null &> /dev/null & holder=$!
    until ! flock -n $lock true; do :; done; }
unlock() { pkill -P $holder sleep; }
waiting() { SECONDS=0
    until ls -l /proc/$(pgrep -nx runvf-hook)/fd 2> /dev/null | grep -q $lock; do
        [ $SECONDS -lt 20 ] || return 1; sleep 0.01; done; }
"#;

/// Whoever had to wait for a PF looks again for those who died meanwhile.
#[test]
fn the_vf_of_one_who_died_during_a_wait_is_not_missed() {
    let (lab, untouched) = host();
    ok(&lab, "for n in 1 2 3; do holder h$n 1$n; attach h$n; done");
    assert_eq!(vlans(&lab).len(), 3, "no VF is free");
    ok(
        &lab,
        &format!(
            "{BUSY} holder late 20; busy; attach late & late=$!; waiting; end h2; unlock; wait $late"
        ),
    );
    let on: Vec<_> = vlans(&lab).into_iter().map(|(vlan, _, vf)| (vlan, vf)).collect();
    assert!(on.contains(&(20, SECOND.to_owned())), "{on:?}");
    ok(&lab, "for name in h1 h3 late; do end $name; detach $name; done");
    assert_free(&lab, "after all");
    leave(lab, &untouched);
}

/// A name that a dead container's VF has in a namespace that outlived it is waited for, if that VF's PF is busy.
#[test]
fn the_name_of_one_who_died_is_free_again() {
    let (lab, untouched) = host();
    let in_its_place = "nsenter -n -t $(cat /tmp/a.pid) sleep 100000 < /dev/null &> /dev/null & echo $! > /tmp/b.pid
        until [ $(readlink /proc/$!/ns/net) = $(readlink /proc/$(cat /tmp/a.pid)/ns/net) ]; do :; done
        sed \"s/\\\"pid\\\":[0-9]*/\\\"pid\\\":$!/; s/\\\"id\\\":\\\"a\\\"/\\\"id\\\":\\\"b\\\"/; s/\\\"11\\\"/\\\"22\\\"/\" /tmp/a.state > /tmp/b.state";
    ok(
        &lab,
        &format!(
            "{BUSY} holder a 11; attach a; {in_its_place}; end a; busy; attach b & b=$!; waiting; unlock; wait $b"
        ),
    );
    assert_eq!(theirs(&lab, "b", 22).0, on_first(22));
    ok(&lab, "end b; detach b");
    assert_free(&lab, "after b");
    leave(lab, &untouched);
}

/// A VF that its container had lost, and that was then given to another driver, is not torn from it.
#[test]
fn a_lost_vf_that_somebody_took_is_left_to_them() {
    let (lab, untouched) = host();
    let device = format!("/sys/bus/pci/devices/{FIRST}");
    ok(&lab, "holder a 11; attach a");
    lab.ok(&format!(
        "modprobe vfio-pci; echo {FIRST} > {device}/driver/unbind; echo vfio-pci > {device}/driver_override
         echo {FIRST} > /sys/bus/pci/drivers_probe; readlink {device}/driver | grep vfio-pci"
    ))
    .unwrap();
    ok(&lab, "end a; detach a");
    let done = gc(&lab);
    assert!(matches!(&done[..], [(vf, left, _)] if vf == FIRST && left == "left"), "{done:?}");
    lab.ok(&format!("readlink {device}/driver | grep vfio-pci")).unwrap();
    lab.ok(&format!("echo > {device}/driver_override; echo {FIRST} > {device}/driver/unbind"))
        .unwrap();
    assert_eq!(gc(&lab), [(FIRST.to_owned(), "clean".to_owned(), "a".to_owned())]);
    assert_free(&lab, "after it was given back");
    leave(lab, &untouched);
}

/// A macvlan that another tool keeps on a VF would go on seeing the tenant's frames.
#[test]
fn a_vf_under_another_interface_is_not_taken() {
    let (lab, untouched) = host();
    ok(&lab, "ip link add link enp1s0v0 name over0 type macvlan; holder a 11; attach a");
    assert_eq!(vlans(&lab), [(11, true, SECOND.to_owned())]);
    let (state, reason) = status(&lab, FIRST);
    assert!(state != "free" && reason.contains("another interface stands on"), "{state} {reason}");
    ok(&lab, "end a; detach a; ip link del over0");
    assert_free(&lab, "after both");
    leave(lab, &untouched);
}

/// An interface that came home is enslaved by its name, by whatever configures the host's network. The VF is its dead container's all
/// the same: it is still on that one's VLAN.
#[test]
fn a_vf_that_came_home_into_a_bridge_is_taken_back() {
    let (lab, untouched) = host();
    let home = format!("ls /sys/bus/pci/devices/{FIRST}/net");
    ok(
        &lab,
        &format!(
            "holder a 11; attach a; end a; until [ \"$({home})\" ]; do sleep 0.05; done
             ip link add br0 type bridge; ip link set $({home}) master br0; detach a; ip link del br0"
        ),
    );
    assert_free(&lab, "after detach");
    leave(lab, &untouched);
}

/// What a `delete` that was killed between the container and its VF left, the engine's next one gives back.
#[test]
fn a_delete_of_what_is_gone_gives_its_vf_back() {
    let (lab, untouched) = host();
    ok(&lab, "holder a 11; attach a; end a; runvf delete --force a");
    assert_free(&lab, "after a delete");
    leave(lab, &untouched);
}

#[test]
fn an_old_claim_over_a_free_vf_is_taken_back() {
    let (lab, untouched) = host();
    ok(&lab, "holder a 11; attach a");
    let old = lab.pull(CLAIM).unwrap();
    ok(&lab, "end a; detach a");
    lab.write(CLAIM, old).unwrap();
    assert_eq!(status(&lab, FIRST).0, "attached");
    assert_eq!(gc(&lab), [(FIRST.to_owned(), "clean".to_owned(), "a".to_owned())]);
    assert_free(&lab, "after gc");
    leave(lab, &untouched);
}

#[test]
fn an_old_claim_over_a_living_one_takes_nothing_from_its_owner() {
    let (lab, untouched) = host();
    ok(&lab, "holder a 11; attach a");
    let old = lab.pull(CLAIM).unwrap();
    ok(&lab, "end a; detach a; holder b 22; attach b");
    let before = theirs(&lab, "b", 22);
    assert_eq!(before.0, on_first(22));
    lab.write(CLAIM, old).unwrap();

    assert_eq!(gc(&lab), [(FIRST.to_owned(), "left".to_owned(), "a".to_owned())]);
    assert_eq!(theirs(&lab, "b", 22), before);
    ok(&lab, "detach a");
    assert_eq!(theirs(&lab, "b", 22), before);
    // Nor does an attach, which takes back the claims of the dead, or the owner's own late release.
    ok(&lab, "holder c 33; attach c; detach b; end c; detach c");
    assert_eq!(theirs(&lab, "b", 22), before);

    ok(&lab, "end b; detach b");
    assert_eq!(gc(&lab), [(FIRST.to_owned(), "clean".to_owned(), "a".to_owned())]);
    assert_free(&lab, "after b");
    leave(lab, &untouched);
}

/// A record of another nonce is another claim, and yet names who has the VF: it is nobody's to take before that one has ended.
#[test]
fn a_claim_of_another_nonce_is_kept_while_its_container_lives() {
    let (lab, untouched) = host();
    ok(&lab, "holder a 11; attach a");
    let before = theirs(&lab, "a", 11);
    assert_eq!(before.0, on_first(11));
    ok(
        &lab,
        &format!(
            "sed -i 's/\"nonce\": \".*\"/\"nonce\": \"another\"/' {CLAIM}; grep another {CLAIM}"
        ),
    );
    ok(&lab, "holder b 22; attach b; detach a");
    assert_eq!(gc(&lab), []);
    assert_eq!(theirs(&lab, "a", 11), before);
    ok(&lab, "end a; end b; detach b");
    assert_eq!(gc(&lab), [(FIRST.to_owned(), "clean".to_owned(), "a".to_owned())]);
    assert_free(&lab, "after a");
    leave(lab, &untouched);
}

/// What may stand in a claim's place, and how it gets there.
const NO_CLAIMS: [(&str, &str); 8] = [
    ("empty", ": > $claim"),
    ("truncated", "truncate -s 300 $claim"),
    ("a link to a true claim", "mv $claim /tmp/claim.json; ln -s /tmp/claim.json $claim"),
    ("a dangling link", "ln -sf /no/such/file $claim"),
    ("a directory", "rm $claim; mkdir $claim"),
    ("a FIFO", "rm $claim; mkfifo $claim"),
    ("a device that cannot be opened", "rm $claim; mknod $claim b 259 4000"),
    ("somebody else's", "chown 1000 $claim"),
];

#[test]
fn what_is_no_claim_is_left_alone_until_it_is_repaired() {
    let (lab, untouched) = host();
    for (kind, make) in NO_CLAIMS {
        ok(&lab, "holder a 11; attach a");
        let before = theirs(&lab, "a", 11);
        assert_eq!(before.0, on_first(11), "{kind}");
        ok(&lab, &format!("claim={CLAIM}; {make}"));
        let there = format!("stat -c '%F %u %s %i' {CLAIM}");
        let made = lab.ok(&there).unwrap().stdout;

        let (state, reason) = status(&lab, FIRST);
        assert_eq!(state, "unreadable", "{kind}: {reason}");
        assert!(!reason.is_empty(), "{kind}");
        assert_eq!(
            gc(&lab),
            [(FIRST.to_owned(), "unreadable".to_owned(), String::new())],
            "{kind}"
        );
        ok(&lab, "holder b 22; attach b");
        assert_eq!(theirs(&lab, "b", 22).0, [(22, true, SECOND.to_owned())], "{kind}");
        ok(&lab, "detach a");
        let repaired = lab.sh(&format!("timeout 60 runvfctl repair {FIRST}")).unwrap();
        assert_eq!(repaired.status, 3, "{kind}: repaired under a living container: {repaired}");
        assert_eq!(theirs(&lab, "a", 11), before, "{kind}");
        assert_eq!(lab.ok(&there).unwrap().stdout, made, "{kind}");

        ok(&lab, "end a; end b; detach b; detach a");
        assert_eq!(lab.ok(&there).unwrap().stdout, made, "{kind}");
        let repaired =
            lab.ok(&format!("timeout 60 runvfctl repair {FIRST} --json | jq -r '.[].outcome'"));
        assert_eq!(repaired.expect(kind).text(), "clean", "{kind}");
        assert_free(&lab, kind);
    }
    leave(lab, &untouched);
}

/// How others use the first VF, and how they end it.
const OTHERS: [(&str, &str, &str); 7] = [
    ("its interface is up", "ip link set $dev up", "ip link set $dev down"),
    ("it has an address", "ip addr add 192.0.2.1/24 dev $dev", "ip addr flush dev $dev"),
    (
        "it is a bridge's port",
        "ip link add br9 type bridge; ip link set $dev master br9",
        "ip link set $dev nomaster; ip link del br9",
    ),
    (
        "it is in another namespace",
        "ip netns add other; ip link set $dev netns other",
        "ip -n other link set $dev netns 1; ip netns del other",
    ),
    (
        "it is bound to vfio-pci",
        "modprobe vfio-pci; echo $vf > $pci/drivers/igbvf/unbind
         echo vfio-pci > $pci/devices/$vf/driver_override; echo $vf > $pci/drivers_probe
         [ $(basename $(readlink $pci/devices/$vf/driver)) = vfio-pci ]",
        "echo $vf > $pci/drivers/vfio-pci/unbind; echo > $pci/devices/$vf/driver_override
         echo $vf > $pci/drivers_probe",
    ),
    (
        "it is kept for vfio-pci",
        "echo $vf > $pci/drivers/igbvf/unbind; echo vfio-pci > $pci/devices/$vf/driver_override",
        "echo > $pci/devices/$vf/driver_override; echo $vf > $pci/drivers_probe",
    ),
    ("it has a VLAN", "ip link set pf0 vf 0 vlan 77", "ip link set pf0 vf 0 vlan 0"),
];

/// Then nothing is left to be cleaned, and the file keeps nobody from anything but the same address.
#[test]
fn what_is_no_claim_of_a_vf_that_vanished_is_removed_by_a_repair() {
    let (lab, _) = host();
    lab.ok("mkdir -p -m 700 /run/runvf/claims; echo 0 > /sys/class/net/pf0/device/sriov_numvfs; cd /run/runvf/claims
         mkdir -p 0000:01:10.0.json/folder; echo '{' > 0000:01:10.2.json; echo '{' > /tmp/other.json")
        .unwrap();
    for vf in [FIRST, SECOND] {
        let repaired = lab.json(&format!("runvfctl repair {vf} --json")).unwrap();
        assert_eq!(repaired[0]["outcome"], "clean", "{repaired}");
    }
    lab.ok("[ -z \"$(ls -A /run/runvf/claims)\" ]").unwrap();
    let refused = lab.sh("runvfctl repair ../../../tmp/other; cat /tmp/other.json").unwrap();
    assert_eq!((refused.status, refused.text()), (0, "{"), "{refused}");
    assert!(refused.stderr.contains("there is no VF ../../../tmp/other"), "{refused}");
}

#[test]
fn what_others_use_is_never_claimed() {
    let (lab, untouched) = host();
    for (kind, begin, end) in OTHERS {
        let names = format!("dev=enp1s0v0; vf={FIRST}; pci=/sys/bus/pci");
        ok(&lab, &format!("{names}; {begin}"));
        // Not the carrier, nor what the driver and the kernel do once an interface is up.
        let look = "ip -j link show pf0 | jq -c '.[0].vfinfo_list[0] | [.vlan_list, .trust, .spoofchk]'
            readlink /sys/bus/pci/devices/0000:01:10.0/driver || true
            for inside in '' '-n other'; do
                ip $inside -j link show enp1s0v0 | jq -c '.[] | [.ifname, .mtu, .master, (.flags - [\"NO-CARRIER\", \"LOWER_UP\"])]'
                ip $inside -4 -o addr show enp1s0v0
            done || true";
        let other = lab.ok(look).unwrap().stdout;
        let (state, reason) = status(&lab, FIRST);
        assert_eq!(state, "foreign", "{kind}");
        assert!(!reason.is_empty(), "{kind}");

        // Two VFs are left for three containers.
        ok(&lab, "holder a 11; attach a; holder b 22; attach b; holder c 33");
        let refused = lab.sh(&with("attach c")).unwrap();
        let expected = "runvf: no free VF in pool `sensors`: pf0 has 2 claimed and 1 in use by something else; ";
        assert!(refused.stderr.starts_with(expected), "{kind}: {refused}");
        assert!(vlans(&lab).iter().all(|(vlan, _, vf)| vf != FIRST || *vlan == 77), "{kind}");
        ok(&lab, "end a; detach a; end b; detach b; end c; detach c");
        assert_eq!(gc(&lab), [], "{kind}");
        assert_eq!(lab.ok(look).unwrap().stdout, other, "{kind}");

        ok(&lab, &format!("{names}; {end}"));
        assert_free(&lab, kind);
    }
    leave(lab, &untouched);
}
