//! Attach, release, `gc`, the re-arm and the audit log are killed at every fault point, and every fault
//! point of the code belongs to a procedure. `make test` has some errors and lies of the kernel, and
//! `make trial` has all of them, and the other procedures.

use std::collections::{BTreeMap, BTreeSet};

use lab::HostKind;

use crate::card::{I82576, X710};
use crate::fault_points::{
    ATTACH, CLEAN_UP, CREATION, DETACH, FLUSH, Faults, GC, KERNEL_CALLS, LOSS, PAIR, REFUSAL,
    REPAIR, SPOOL, Snapshot, UNREADABLE, assert_recovery, assert_recovery_with_vfs, count_points,
    faulty_host, faulty_host_with_vfs, points_at, trace,
};
use crate::host::{Preparation, configure, leave_as, state};

pub(crate) fn attach_recovers(host: HostKind, faults: Faults) {
    assert_recovery_with_vfs(host, &[(ATTACH, faults), (PAIR, faults)]);
}

pub(crate) fn creation_recovers(faults: Faults) {
    let lab = faulty_host(I82576);
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_drivers_autoprobe").unwrap();
    assert_recovery(&lab, &CREATION, faults);
}

pub(crate) fn release_recovers(host: HostKind, faults: Faults) {
    assert_recovery_with_vfs(host, &[(DETACH, faults)]);
}

pub(crate) fn audit_entries_recover(faults: Faults) {
    assert_recovery_with_vfs(I82576, &[(SPOOL, faults), (FLUSH, faults), (REFUSAL, faults)]);
}

pub(crate) fn gc_recovers(faults: Faults) {
    assert_recovery_with_vfs(I82576, &[(GC, faults), (LOSS, faults)]);
}

pub(crate) fn repair_recovers(faults: Faults) {
    let lab = faulty_host_with_vfs(I82576);
    assert_recovery(&lab, &REPAIR, faults);
    // This one loses the operator's settings of the VF, so the host is not left to another test.
    assert_recovery(&lab, &UNREADABLE, faults);
}

fn attach_recovers_from_a_kill_at_every_point(host: HostKind) {
    attach_recovers(host, Faults::Kills);
}

fn release_recovers_from_a_kill_at_every_point(host: HostKind) {
    release_recovers(host, Faults::Kills);
}

mod on_the_82576 {
    use crate::card::{I82576, tests_on};

    tests_on!(I82576, super:
        attach_recovers_from_a_kill_at_every_point,
        release_recovers_from_a_kill_at_every_point,
    );
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super:
        attach_recovers_from_a_kill_at_every_point,
        release_recovers_from_a_kill_at_every_point,
    );
}

/// With two CPUs, iavf has two channels for each VF, and the change to one resets the VF. With six hosts
/// on two cores, every other run of this test met the kernel's null pointer before attach waited for
/// the end of that reset.
#[test]
fn an_attach_recovers_from_faults_at_the_change_of_the_channels() {
    let lab = faulty_host_with_vfs(X710);
    let before = state(&lab);
    let both_cpus = lab.use_both_cpus().unwrap();
    let faults =
        Faults::Only(&["channels:1:kill", "channels:1:lie", "clear-flags:1:kill", "rings:1:kill"]);
    assert_recovery(&lab, &ATTACH, faults);
    lab.ok("echo 0 > /sys/devices/system/cpu/cpu1/online").unwrap();
    drop(both_cpus);
    leave_as(Preparation::Faulty, lab, &before);
}

#[test]
fn audit_entries_recover_from_a_kill_at_every_point() {
    audit_entries_recover(Faults::Kills);
}

#[test]
fn gc_recovers_from_a_kill_at_every_point() {
    gc_recovers(Faults::Kills);
}

/// The next setup finishes a broken one.
pub(crate) fn setup_recovers_at_every_fault_point() {
    let lab = faulty_host(I82576);
    lab.ok(&sourced("reset_pf")).unwrap();
    let points = count_points(&lab.sh(&traced("runvfctl setup")).unwrap().stdout);
    assert!(
        ["numvfs", "add-flags", "lock"].iter().all(|step| points.contains_key(*step)),
        "{points:?}"
    );
    for (point, count) in points.iter().filter(|(point, _)| !point.starts_with("read-")) {
        for fault in
            (1..=*count).flat_map(|nth| ["kill", "error"].map(|way| format!("{point}:{nth}:{way}")))
        {
            let output = lab.sh(&sourced(&format!("broken_setup {fault}"))).unwrap();
            assert_eq!(output.status, 0, "{fault}: {output}");
            let killed = output.stdout.lines().any(|line| line == "ended with 137");
            assert_eq!(killed, fault.ends_with("kill"), "{fault}: {output}");
        }
    }
}

/// The next gc finishes a broken re-arm, and the audit log has the gap.
#[test]
fn a_re_arm_recovers_at_every_fault_point() {
    re_arm_recovers("turn_promiscuity_off a", &["kill", "error"]);
}

/// As above, where gc first turns on the setting of the PF that a sensor needs.
pub(crate) fn a_re_arm_after_a_change_of_the_pf_recovers_from_a_kill_at_every_point() {
    re_arm_recovers("ip link set pf0 promisc off", &["kill"]);
}

/// `blinds` makes the sensor in `a` blind.
fn re_arm_recovers(blinds: &str, ways: &[&str]) {
    let lab = faulty_host_with_vfs(I82576);
    let before = state(&lab);
    let attached = format!("holder a; hook attach a 11 && {blinds}");
    let gc = "timeout 100 runvfctl gc";
    let traced = format!("{attached}; traced {gc}");
    Snapshot::after(&lab, &[&traced, CLEAN_UP], "re-arm")[1].assert_all_clean();
    let points = count_points(&lab.ok("cat /tmp/trace").unwrap().stdout);
    assert!(
        ["add-flags", "enter-netns", "claim-replace"].iter().all(|it| points.contains_key(*it)),
        "{points:?}"
    );
    for (point, count) in points.iter().filter(|(point, _)| !point.starts_with("read-")) {
        for fault in
            (1..=*count).flat_map(|nth| ways.iter().map(move |way| format!("{point}:{nth}:{way}")))
        {
            // The log of the case before would count.
            let broken = format!("rm -f /var/log/runvf/audit*; {attached}; broken {fault} {gc}");
            let again = "rearmed a && echo re-armed";
            let snapshots = Snapshot::after(&lab, &[&broken, again, CLEAN_UP], &fault);
            let case = &snapshots[0].case;
            if fault.ends_with("kill") {
                assert!(snapshots[0].text.contains("ended with 137"), "{case}");
            }
            // The kernel refuses the flags, so the VF is lost and its container stopped.
            let is_lost = fault.starts_with("add-flags") && fault.ends_with("error");
            assert_eq!(snapshots[1].text.contains("re-armed\n"), !is_lost, "{case}");
            snapshots[2].assert_all_clean();
        }
    }
    leave_as(Preparation::Faulty, lab, &before);
}

/// The next setup or undo finishes a broken one.
pub(crate) fn parking_recovers_at_every_fault_point() {
    let lab = faulty_host_with_vfs(I82576);
    let parked = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nvfs = 2\nrest = \"unbound\"\n";
    configure(&lab, parked);
    let mut points = BTreeMap::new();
    for command in ["runvfctl setup", "runvfctl setup --undo"] {
        let passed = count_points(&lab.sh(&traced(command)).unwrap().stdout);
        passed.into_iter().for_each(|(point, count)| {
            let most: &mut usize = points.entry(point).or_default();
            *most = count.max(*most);
        });
    }
    assert!(
        ["autoprobe", "parked-add", "parked-remove", "unbind", "probe"]
            .iter()
            .all(|step| points.contains_key(*step)),
        "{points:?}"
    );
    for (point, count) in points.iter().filter(|(point, _)| !point.starts_with("read-")) {
        for fault in
            (1..=*count).flat_map(|nth| ["kill", "error"].map(|way| format!("{point}:{nth}:{way}")))
        {
            let output = lab.sh(&sourced(&format!("broken_parking {fault}"))).unwrap();
            assert_eq!(output.status, 0, "{fault}: {output}");
        }
    }
}

fn sourced(script: &str) -> String {
    format!("source /tmp/functions; {script}")
}

/// Prints the points that a command passes.
fn traced(command: &str) -> String {
    sourced(&format!("traced {command} >&2; cat /tmp/trace"))
}

/// A point that no procedure passes would be a step that no test breaks.
#[test]
fn every_fault_point_belongs_to_a_procedure() {
    let points = points_at(
        &[&KERNEL_CALLS[..], &["fault::point(\"", ".get_links(\"", ".request(\""]].concat(),
    );
    assert!(points.len() > 20, "{points:?}");
    let lab = faulty_host_with_vfs(I82576);
    let mut passed = BTreeSet::new();
    for procedure in [ATTACH, DETACH, SPOOL, FLUSH, REFUSAL, GC, LOSS, REPAIR, UNREADABLE] {
        passed.extend(trace(&lab, &procedure).into_keys());
    }
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_drivers_autoprobe").unwrap();
    passed.extend(trace(&lab, &CREATION).into_keys());
    lab.ok(&sourced("reset_pf")).unwrap();
    let mut add = |command: &str, of: &dyn Fn(&String) -> bool| {
        let points = count_points(&lab.sh(&traced(command)).unwrap().stdout);
        passed.extend(points.into_keys().filter(of));
    };
    add("runvfctl setup", &|_| true);
    // The tenant owns every VLAN, so the probe cannot choose VLANs that belong to no tenant.
    add("runvfctl probe pf0 --vlan 4001 --other 4002", &|_| true);
    // The doctor changes nothing; only its reads of the card are its own.
    add("runvfctl doctor", &|point| point.starts_with("read-"));
    add("runvfctl status", &|point| point.starts_with("read-"));
    // An operator's own setting would stay.
    lab.ok("echo 1 > /sys/class/net/pf0/device/sriov_drivers_autoprobe").unwrap();
    configure(&lab, "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nrest = \"unbound\"\n");
    add("runvfctl setup", &|_| true);
    add("runvfctl setup --undo", &|_| true);
    // This host has no driver with a flag that matters, and no udev rules; the tests of `setup`
    // have both. Only iavf needs a change of flags and a wake-up to be re-armed.
    let of_others =
        ["read-private-flags", "private-flag", "uevent", "clear-flags", "read-statistics"];
    // igbvf has a fixed number of channels, and no RSS key. The others need a container with fewer
    // CPUs, and one with vfio-pci: `sensor_settings` and `vfio`.
    let of_sensors = ["channels", "rss", "irq-affinity", "vfio-open"];
    passed.extend(of_others.into_iter().chain(of_sensors).map(str::to_owned));
    let missed: Vec<_> = points.difference(&passed).collect();
    assert!(missed.is_empty(), "passed by no test: {missed:?}");
}

/// Container ids are unique within one engine only. A create that was killed before it claimed a VF
/// must not be taken for a container of the same name that has a VF.
#[test]
fn a_container_of_the_same_name_in_another_root_is_another_one() {
    let lab = faulty_host_with_vfs(I82576);
    let create = "timeout 100 runvf --root $root create --bundle /var/lib/runvf-bundles/tcpdump same </dev/null >/dev/null 2>&1";
    lab.ok(&format!(
        "mkdir -p /var/log/sensor; root=/run/one; {create}; runvf --root /run/one start same"
    ))
    .unwrap();
    let broken = lab
        .sh(&format!("root=/run/two; export RUNVF_FAULT=claim-create:1:kill; {create}"))
        .unwrap();
    assert_eq!(broken.status, 137, "{broken}");
    let refused = |expected: &str| {
        let refused = lab.sh("runvf --root /run/two start same").unwrap();
        assert!(refused.status == 1 && refused.stderr.starts_with(expected), "{refused}");
    };
    refused("runvf: cannot start container same: the container was not fully created\n");
    // The claim protects, too, if the record says that the container was fully created.
    let record = "/run/two/same/runvf.json";
    lab.ok(&format!("jq '.finished = true' {record} > /tmp/record; cp /tmp/record {record}"))
        .unwrap();
    refused("runvf: container same has no VF for interface `mon0`; ");
}

/// A container must not go on with another tenant's VLAN.
#[test]
fn a_vlan_that_cannot_be_set_back_makes_the_vf_lost() {
    let lab = faulty_host(I82576);
    let changed = "holder a; hook attach a 11; ip link set pf0 vf 0 vlan 300
        broken vf-set:1:error timeout 100 runvfctl gc; wait_for_end a
        [ -e /sys/bus/pci/devices/$first_vf/driver ] || echo 'no driver'";
    let snapshots =
        Snapshot::after(&lab, &[changed, CLEAN_UP], "a change that cannot be taken back");
    let first = &snapshots[0];
    assert_eq!(first.state().as_deref(), Some("lost"), "{}", first.case);
    for line in ["ended with 0", "no driver", "VLAN 300 instead of VLAN 11"] {
        assert!(first.text.contains(line), "{}", first.case);
    }
    snapshots[1].assert_all_clean();
}

/// A process that still runs in the netns of a quarantined VF must see neither the VLAN of the VF
/// nor, once the VLAN is removed, the untagged network.
#[test]
fn a_quarantined_vf_is_removed_from_a_living_container() {
    let lab = faulty_host_with_vfs(I82576);
    let before = state(&lab);
    let release = |nth: u32| {
        format!(
            "holder a; hook attach a 11
             broken unbind:{nth}:error timeout 100 runvfctl release --force $first_vf; link_of a mon0"
        )
    };
    let repair = "end a; timeout 100 runvfctl repair";

    let case = "the second try removes the driver";
    let snapshots = Snapshot::after(&lab, &[&release(1), repair], case);
    let first = &snapshots[0];
    assert_eq!(first.state().as_deref(), Some("quarantined"), "{}", first.case);
    assert!(first.text.contains("does not exist"), "{}", first.case);
    assert_eq!(first.dirty().count(), 0, "{}", first.case);
    snapshots[1].assert_all_clean();

    let gc = "timeout 100 runvfctl gc; link_of a mon0";
    let case = "the driver cannot be removed";
    let snapshots = Snapshot::after(&lab, &[&release(0), gc, repair], case);
    let [first, second, third] = &snapshots[..] else { panic!("three snapshots of {case}") };
    assert_eq!(first.state().as_deref(), Some("quarantined"), "{}", first.case);
    assert!(first.text.contains("PROMISC"), "{}", first.case);
    let dirty: Vec<_> =
        first.dirty().map(|vf| (&vf["vlan_list"][0]["vlan"], &vf["trust"])).collect();
    assert_eq!(dirty, [(&11.into(), &false.into())], "{}", first.case);
    assert_eq!(second.state().as_deref(), Some("quarantined"), "{}", second.case);
    assert!(second.text.contains("does not exist"), "{}", second.case);
    assert_eq!(second.dirty().count(), 0, "{}", second.case);
    third.assert_all_clean();
    leave_as(Preparation::Faulty, lab, &before);
}
