//! Killed, or failed, at every step: what is left is enough for the next attach and for `runvfctl` to put everything right.
//!
//! The programs are built with fault points (`vf/src/fault.rs`). Each procedure is run once to learn which points it passes,
//! then once for each point and each way to fail. A point at which nothing has changed since the last one (a read) is failed
//! but not killed at; and at one where the kernel is asked to do something, it says once that it did and does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use lab::{Lab, Programs};

use crate::host::{Kind, configure, leave, leave_one_of, one_of, prepared, settle, state};

mod seen;

use seen::{FUNCTIONS, Seen};

struct Procedure {
    name: &'static str,
    /// Makes the state in which `run` begins.
    prepare: &'static str,
    /// Is killed or fails.
    run: &'static str,
    ways: &'static [&'static str],
    /// Where to break it; empty: everywhere.
    only: &'static [&'static str],
    /// The state of the claim that it leaves, if any, when nothing breaks.
    leaves: Option<&'static str>,
}

/// Succeeds if the attach does, and fails if it only says so.
const ATTACHED: &str = "hook attach a 11 && nsenter -n -t $(cat /tmp/a.pid) ip link show mon0 | grep -q '[,<]PROMISC.*[,<]UP'";

const CREATION: Procedure = Procedure {
    name: "attach on a PF without VFs or drivers for them",
    prepare: "echo 0 > /sys/class/net/pf0/device/sriov_numvfs; holder a",
    run: ATTACHED,
    ways: &["kill", "error", "lie"],
    // Making VFs takes seconds, and the rest is an attach like any other.
    only: &["lock", "numvfs", "sysfs-wait", "claim-create", "driver-override", "probe"],
    leaves: Some("attached"),
};
const ATTACH: Procedure = Procedure {
    name: "attach",
    prepare: "holder a",
    run: ATTACHED,
    ways: &["kill", "error", "lie"],
    only: &[],
    leaves: Some("attached"),
};
/// The second of two VFs is what breaks, with the first in the container already.
const PAIR: Procedure = Procedure {
    name: "attach of two VFs",
    prepare: "holder a; more=',\"io.runvf.vlan.tap1\":\"12\"'",
    run: "hook attach a 11 && nsenter -n -t $(cat /tmp/a.pid) ip link show tap1 | grep -q PROMISC; code=$?; more=; (exit $code)",
    ways: &["kill", "error", "lie"],
    only: &["claim-create", "vf-set", "claim-replace", "move"],
    leaves: Some("attached"),
};
const DETACH: Procedure = Procedure {
    name: "detach",
    prepare: "holder a; hook attach a 11 && end a",
    run: "hook detach a 11",
    ways: &["kill", "error", "lie"],
    only: &[],
    leaves: None,
};
const GC: Procedure = Procedure {
    name: "gc of a VF whose container is gone",
    prepare: "holder a; hook attach a 11 && end a",
    run: "timeout 100 runvfctl gc",
    ways: &["kill", "error"],
    only: &[],
    leaves: None,
};
const REPAIR: Procedure = Procedure {
    name: "repair",
    prepare: "holder a; hook attach a 11 && end a; RUNVF_FAULT=probe:1:error hook detach a 11",
    run: "timeout 100 runvfctl repair",
    ways: &["kill", "error", "lie"],
    only: &[],
    leaves: None,
};
const UNREADABLE: Procedure = Procedure {
    name: "repair of a VF whose claim cannot be read",
    prepare: "holder a; hook attach a 11 && end a; echo > /run/runvf/claims/0000:01:10.0.json",
    // 3: its interface is not home yet.
    run: "for i in $(seq 100); do timeout 100 runvfctl repair 0000:01:10.0; code=$?
        [ $code = 3 ] || break; sleep 0.1; done; (exit $code)",
    // Once its claim can be read it is a repair as any other.
    ways: &["kill"],
    only: &[],
    leaves: None,
};
const LOSS: Procedure = Procedure {
    name: "gc of a container whose VF is gone",
    prepare: "holder a; hook attach a 11 && echo 0000:01:10.0 > /sys/bus/pci/drivers/igbvf/unbind",
    run: "timeout 100 runvfctl gc",
    ways: &["kill", "error", "lie"],
    only: &[],
    leaves: Some("lost"),
};

/// A tenant with a bound has one lock more.
const CONFIGURED: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nvfs = 2\nscrub = \"flr\"\n\
    [[tenant]]\nname = \"all\"\nvlans = [\"1-4094\"]\nmax = 2\n";

fn faulty_host() -> Lab {
    let lab = Lab::with_runvf(Programs::WithFaultPoints).unwrap();
    configure(&lab, CONFIGURED);
    lab.write("/tmp/functions", FUNCTIONS).unwrap();
    // Or the first attach would wait for it, and pass points that no other does.
    lab.ok("modprobe igbvf").unwrap();
    lab
}

fn with_vfs() -> Lab {
    one_of(Kind::Faulty, with_new_vfs)
}

fn with_new_vfs() -> Lab {
    let lab = faulty_host();
    lab.ok("echo 2 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
    settle(&lab, 2);
    // What an operator has set on a free VF, so that all of it has to be given back.
    lab.ok(
        "ip link set enp1s0v0 alias 'rack 3' txqueuelen 500 mtu 1450; ethtool -K enp1s0v0 gso off",
    )
    .unwrap();
    lab
}

/// As [`Seen::after_with_settings`] has it.
const OPERATORS: &str = "mtu 1450\nqlen 500\nalias rack 3\ngeneric-segmentation-offload: off";

/// Ids are unique within one engine only. A create that was killed before it had a VF must not pass for a container of that name
/// that has one.
#[test]
fn a_container_of_the_same_name_elsewhere_is_another() {
    let lab = with_vfs();
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
    // And if it were not known for that.
    let record = "/run/two/same/runvf.json";
    lab.ok(&format!("jq '.finished = true' {record} > /tmp/record; cp /tmp/record {record}"))
        .unwrap();
    refused("runvf: container same has no VF for `mon0`; ");
}

/// The points that a procedure passes, with how often.
fn trace(lab: &Lab, procedure: &Procedure) -> BTreeMap<String, usize> {
    let Procedure { name, prepare, run, leaves, .. } = procedure;
    let trace = format!(
        "rm -f /tmp/trace; {prepare}; RUNVF_FAULT_LOG=/tmp/trace; export RUNVF_FAULT_LOG; {run}; unset RUNVF_FAULT_LOG"
    );
    let seen = Seen::after(lab, &[&trace, PUT_RIGHT], name);
    // A run that went another way than usual would know points that no other run meets.
    assert_eq!(seen[0].state().as_deref(), *leaves, "{}", seen[0].case);
    seen[1].assert_all_clean();
    let mut counts = BTreeMap::new();
    for point in lab.ok("cat /tmp/trace").unwrap().stdout.lines() {
        *counts.entry(point.to_owned()).or_default() += 1;
    }
    counts
}

/// Ends whoever is left, and has the operator put things right.
const PUT_RIGHT: &str = "end a; end b; runvfctl gc
    echo after gc:; grep -hzoE '\"state\":\\s*(\\{\\s*)?\"[a-z]+\"' /run/runvf/claims/0*.json 2>/dev/null; echo; echo after that:
    runvfctl repair
    for claim in /run/runvf/claims/0*.json; do
        [ ! -e $claim ] || grep -q nonce $claim || runvfctl repair $(basename $claim .json); done
    udevadm settle";

const ANOTHER: &str = "holder b; hook attach b 22; echo \"b: $?\"
    nsenter -n -t $(cat /tmp/b.pid) ip link show mon0 | grep -q PROMISC && echo 'b sees'";

/// What a `gc` that was broken has not done the next one does.
const GC_AGAIN: &str = "timeout 100 runvfctl gc
    for i in $(seq 500); do [ -e /proc/$(< /tmp/a.pid)/ns/net ] || break; sleep 0.01; done
    [ ! -e /proc/$(< /tmp/a.pid)/ns/net ] || echo 'a lives on'";

/// Runs a procedure to each of its points and breaks it there.
fn break_everywhere(lab: &Lab, procedure: &Procedure) {
    let points = trace(lab, procedure);
    assert!(points.len() >= 4, "{}: only {points:?}", procedure.name);
    let lies = points_at(&KERNELS);
    let mut broken = BTreeMap::new();
    let wanted = |point: &str| procedure.only.is_empty() || procedure.only.contains(&point);
    for (point, count) in points.iter().filter(|(point, _)| wanted(point)) {
        let reads = point.starts_with("read-");
        let passings: BTreeSet<usize> = match reads && point != "read-vfs" {
            // Most of them wait for something.
            true => [1, *count].into(),
            false => (1..=*count).collect(),
        };
        for nth in passings {
            let fits = |how: &&&str| match **how {
                "kill" => !reads,
                "lie" => !reads && lies.contains(point),
                _ => true,
            };
            for how in procedure.ways.iter().filter(fits) {
                let broken = broken.entry(how).or_insert(0);
                *broken += 1;
                // Every other time the next to come is not the operator but another container.
                break_at(lab, procedure, &format!("{point}:{nth}:{how}"), *broken % 2 == 0);
            }
        }
    }
    eprintln!("{}: broken so often: {broken:?}", procedure.name);
}

fn break_at(lab: &Lab, procedure: &Procedure, fault: &str, another: bool) {
    let Procedure { name, prepare, run, leaves, .. } = procedure;
    let broken = format!(
        "{prepare}; export RUNVF_FAULT={fault}; {run}; echo \"ended with $?\"; unset RUNVF_FAULT"
    );
    let loses = *leaves == Some("lost");
    let mut scripts = vec![broken.as_str()];
    scripts.extend(loses.then_some(GC_AGAIN));
    scripts.extend(another.then_some(ANOTHER));
    scripts.push(PUT_RIGHT);
    let (seen, settings) = Seen::after_with_settings(lab, &scripts, &format!("{name}, {fault}"));
    if fault.ends_with("kill") {
        // 128 + SIGKILL, of the program or of the `timeout` around it.
        assert!(seen[0].text.contains("ended with 137"), "{}", seen[0].case);
    } else if *leaves == Some("attached") {
        seen[0].assert_attached_or_refused();
    } else if *name == DETACH.name {
        assert!(seen[0].text.contains("ended with 0"), "an engine must go on: {}", seen[0].case);
    }
    seen.iter().for_each(Seen::assert_nothing_dirty_is_free);
    if loses {
        assert!(!seen[1].text.contains("a lives on"), "{}", seen[1].case);
    } else {
        seen.iter().for_each(Seen::assert_rightfully_attached);
    }
    let last = &seen[seen.len() - 1];
    if another {
        seen[seen.len() - 2].assert_another_attached();
    }
    last.assert_gc_was_enough();
    last.assert_all_clean();
    // A repair without a readable claim knows nothing of what was before; and where VFs are made anew, nobody had set anything.
    if ![CREATION.name, UNREADABLE.name].contains(name) {
        assert_eq!(settings, OPERATORS, "{}", last.case);
        assert_eq!(last.flags.len(), 2, "both have their driver: {}", last.case);
    }
}

fn broken_everywhere_with_vfs(procedures: &[Procedure]) {
    let lab = with_vfs();
    let before = state(&lab);
    procedures.iter().for_each(|procedure| break_everywhere(&lab, procedure));
    leave_one_of(Kind::Faulty, lab, &before);
}

#[test]
fn attach_broken_at_every_step() {
    broken_everywhere_with_vfs(&[ATTACH, PAIR]);
}

#[test]
fn creation_broken_at_every_step() {
    let lab = faulty_host();
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_drivers_autoprobe").unwrap();
    break_everywhere(&lab, &CREATION);
}

#[test]
fn release_broken_at_every_step() {
    broken_everywhere_with_vfs(&[DETACH]);
}

#[test]
fn gc_broken_at_every_step() {
    broken_everywhere_with_vfs(&[GC, LOSS]);
}

#[test]
fn repair_broken_at_every_step() {
    let lab = with_vfs();
    break_everywhere(&lab, &REPAIR);
    // After these the VF has lost what an operator had set on it, so the host is left to nobody.
    break_everywhere(&lab, &UNREADABLE);
}

/// Drivers are, for a moment: with a PF in a reset, say.
#[test]
fn a_driver_that_is_busy_is_asked_again() {
    let lab = faulty_host();
    for (procedure, point) in [(CREATION, "numvfs"), (ATTACH, "vf-set"), (ATTACH, "flags")] {
        let Procedure { name, prepare, run, leaves, .. } = procedure;
        let busy = format!("{prepare}; export RUNVF_FAULT={point}:1:busy RUNVF_FAULT_LOG=/tmp/trace; rm -f /tmp/trace
             {run}; echo \"ended with $?\"; unset RUNVF_FAULT RUNVF_FAULT_LOG; grep -cx {point} /tmp/trace");
        let seen = Seen::after(&lab, &[&busy, PUT_RIGHT], &format!("{name}, {point} busy"));
        assert!(seen[0].text.contains("ended with 0\n"), "{}", seen[0].case);
        assert_eq!(seen[0].state().as_deref(), leaves, "{}", seen[0].case);
        let asked = seen[0].text.lines().last().and_then(|count| count.parse::<u32>().ok());
        assert!(asked.is_some_and(|asked| asked >= 2), "{}", seen[0].case);
        seen[1].assert_all_clean();
    }
}

/// What a container must not go on seeing is taken from it.
#[test]
fn what_cannot_be_set_back_is_lost() {
    let lab = faulty_host();
    let changed = "holder a; hook attach a 11; ip link set pf0 vf 0 vlan 300
        RUNVF_FAULT=vf-set:1:error timeout 100 runvfctl gc; echo \"ended with $?\"
        until [ ! -e /proc/$(cat /tmp/a.pid)/ns/net ]; do sleep 0.01; done
        [ -e /sys/bus/pci/devices/0000:01:10.0/driver ] || echo 'no driver'";
    let seen = Seen::after(&lab, &[changed, PUT_RIGHT], "a change that cannot be taken back");
    assert_eq!(seen[0].state().as_deref(), Some("lost"), "{}", seen[0].case);
    for told in ["ended with 0", "no driver", "VLAN 300 instead of VLAN 11"] {
        assert!(seen[0].text.contains(told), "{}", seen[0].case);
    }
    seen[1].assert_all_clean();
}

/// Whoever lives on in the namespace of a VF that could not be cleaned sees neither what the VF was for nor, without its VLAN, the
/// untagged LAN.
#[test]
fn a_vf_in_quarantine_is_taken_from_who_lives_on() {
    let lab = with_vfs();
    let before = state(&lab);
    let inside = "nsenter -n -t $(< /tmp/a.pid) ip -o link show mon0 2>&1";
    let release = |nth: u32| {
        format!(
            "holder a; hook attach a 11; RUNVF_FAULT=unbind:{nth}:error timeout 100 runvfctl release --force 0000:01:10.0; {inside}"
        )
    };
    let put_right = "end a; timeout 100 runvfctl repair";

    let seen =
        Seen::after(&lab, &[&release(1), put_right], "the driver is taken at the second try");
    assert_eq!(seen[0].state().as_deref(), Some("quarantined"), "{}", seen[0].case);
    assert!(seen[0].text.contains("does not exist"), "{}", seen[0].case);
    assert_eq!(seen[0].dirty().count(), 0, "{}", seen[0].case);
    seen[1].assert_all_clean();

    let gc = format!("timeout 100 runvfctl gc; {inside}");
    let seen = Seen::after(&lab, &[&release(0), &gc, put_right], "the driver cannot be taken");
    assert_eq!(seen[0].state().as_deref(), Some("quarantined"), "{}", seen[0].case);
    assert!(seen[0].text.contains("PROMISC"), "{}", seen[0].case);
    let left: Vec<_> =
        seen[0].dirty().map(|vf| (&vf["vlan_list"][0]["vlan"], &vf["trust"])).collect();
    assert_eq!(left, [(&11.into(), &false.into())], "{}", seen[0].case);
    assert_eq!(seen[1].state().as_deref(), Some("quarantined"), "{}", seen[1].case);
    assert!(seen[1].text.contains("does not exist"), "{}", seen[1].case);
    assert_eq!(seen[1].dirty().count(), 0, "{}", seen[1].case);
    seen[2].assert_all_clean();
    leave_one_of(Kind::Faulty, lab, &before);
}

/// The kernel, or a card, that says yes and does nothing: what it was asked for is read back, and neither a container nor the next one
/// gets a VF that is not as it should be.
#[test]
fn what_was_only_said_to_be_done_is_not_believed() {
    let lab = with_vfs();
    let before = state(&lab);
    let told = |seen: &Seen, what: &str| assert!(seen.text.contains(what), "{}", seen.case);
    let put_right = "end a; timeout 100 runvfctl gc; timeout 100 runvfctl repair; udevadm settle";

    // Or it would be missed for its carrier first.
    configure(&lab, &CONFIGURED.replace("[[tenant]]", "carrier = \"ignore\"\n[[tenant]]"));
    for (fault, what) in [
        ("vf-set:0:lie", "VLAN 11 was set, but VLAN 0 reads back"),
        ("flags:0:lie", "`mon0` is not up and promiscuous inside the container"),
    ] {
        // Without a MAC, or that would be missed first.
        let attach = format!(
            "holder a; echo '{{\"id\":\"a\",\"pid\":'$(< /tmp/a.pid)',\"annotations\":{{\"io.runvf.vlan\":\"11\"}}}}' |
             RUNVF_FAULT={fault} timeout 100 /usr/libexec/runvf/runvf-hook attach; echo \"ended with $?\""
        );
        let seen = Seen::after(&lab, &[&attach, put_right], &format!("attach, {fault}"));
        told(&seen[0], "ended with 1");
        told(&seen[0], what);
        seen.iter().for_each(Seen::assert_all_clean);
    }
    configure(&lab, CONFIGURED);

    // What is left on a VF in quarantine the next `gc` takes from it.
    for (fault, what, left) in [
        ("vf-set:0:lie", "it still has VLAN 11, trust on", 1),
        ("unbind:0:lie", "is still bound to its driver", 0),
    ] {
        let detach =
            format!("holder a; hook attach a 11 && end a; RUNVF_FAULT={fault} hook detach a 11");
        let gc = "timeout 100 runvfctl gc";
        let seen = Seen::after(&lab, &[&detach, gc, put_right], &format!("detach, {fault}"));
        told(&seen[0], what);
        assert_eq!(seen[0].dirty().count(), left, "{}", seen[0].case);
        for seen in &seen[..2] {
            assert_eq!(seen.state().as_deref(), Some("quarantined"), "{}", seen.case);
        }
        assert_eq!(seen[1].dirty().count(), 0, "{}", seen[1].case);
        seen[2].assert_all_clean();
    }
    leave_one_of(Kind::Faulty, lab, &before);
}

/// For tests alone: nobody shall be able to have an installed program leave a step out.
#[test]
fn what_is_installed_has_no_points() {
    let programs = "/usr/bin/runvf /usr/bin/runvfctl /usr/libexec/runvf/runvf-hook";
    let lab = prepared();
    let before = state(&lab);
    lab.ok(&format!("! grep -l RUNVF_FAULT {programs}")).unwrap();
    leave(lab, &before);
    let lab = with_vfs();
    let before = state(&lab);
    let with = lab.ok(&format!("grep -l RUNVF_FAULT {programs} | wc -l")).unwrap();
    assert_eq!(with.text(), "3");
    leave_one_of(Kind::Faulty, lab, &before);
}

/// As a PF is after a boot.
const UNREADY: &str =
    "echo 0 > /sys/class/net/pf0/device/sriov_numvfs; ip link set pf0 down promisc off";

/// The points that a command meets, with how often.
fn traced(lab: &Lab, command: &str) -> BTreeMap<String, usize> {
    let trace = lab
        .sh(&format!("rm -f /tmp/trace; RUNVF_FAULT_LOG=/tmp/trace {command} >&2; cat /tmp/trace"));
    let mut counts = BTreeMap::new();
    for point in trace.unwrap().stdout.lines() {
        *counts.entry(point.to_owned()).or_default() += 1;
    }
    counts
}

/// What a broken setup has left undone the next one does.
#[test]
fn setup_broken_at_every_step() {
    let lab = faulty_host();
    lab.ok(UNREADY).unwrap();
    let points = traced(&lab, "runvfctl setup");
    assert!(
        ["numvfs", "add-flags", "lock"].iter().all(|step| points.contains_key(*step)),
        "{points:?}"
    );
    for (point, count) in points.iter().filter(|(point, _)| !point.starts_with("read-")) {
        for fault in
            (1..=*count).flat_map(|nth| ["kill", "error"].map(|how| format!("{point}:{nth}:{how}")))
        {
            let output = lab
                .sh(&format!(
                    "{UNREADY}; RUNVF_FAULT={fault} timeout 100 runvfctl setup; echo $?; timeout 100 runvfctl setup || exit
                     [ $(cat /sys/class/net/pf0/device/sriov_numvfs) = 2 ] && ip link show pf0 | grep -q 'PROMISC.*,UP'"
                ))
                .unwrap();
            assert_eq!(output.status, 0, "{fault}: {output}");
            let killed = output.stdout.lines().any(|line| line == "137");
            assert_eq!(killed, fault.ends_with("kill"), "{fault}: {output}");
        }
    }
}

/// Points in the code that none of these tests meets would be steps that nobody has tried to break.
#[test]
fn no_point_is_left_out() {
    let known = points_at(&[&KERNELS[..], &["fault::point(\"", ".look(\"", ".ask(\""]].concat());
    assert!(known.len() > 20, "{known:?}");
    let lab = with_vfs();
    let mut met = BTreeSet::new();
    for procedure in [ATTACH, DETACH, GC, LOSS, REPAIR, UNREADABLE] {
        met.extend(trace(&lab, &procedure).into_keys());
    }
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_drivers_autoprobe").unwrap();
    met.extend(trace(&lab, &CREATION).into_keys());
    lab.ok(UNREADY).unwrap();
    met.extend(traced(&lab, "runvfctl setup").into_keys());
    // Its tenant has every VLAN, so that none is spare.
    met.extend(traced(&lab, "runvfctl probe pf0 --vlan 4001 --other 4002").into_keys());
    // It changes nothing; what it asks for that others do not tells only of the card.
    let doctors = traced(&lab, "runvfctl doctor").into_keys();
    met.extend(doctors.filter(|point| point.starts_with("read-")));
    // Drivers that have a flag which matters are not here, nor rules for udev; the tests of `setup` turn a flag of igb's, and have them.
    met.extend(["read-private-flags", "uevent"].map(str::to_owned));
    let missed: Vec<_> = known.difference(&met).collect();
    assert!(missed.is_empty(), "met by no test: {missed:?}");
}

/// What stands before the name of a point at which the kernel may lie.
const KERNELS: [&str; 3] = ["write_until(\"", ".change(\"", "call(\""];

/// The names of the points that follow one of `calls` in the code.
fn points_at(calls: &[&str]) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    collect_points(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../vf/src"), calls, &mut known);
    known
}

fn collect_points(folder: &Path, calls: &[&str], known: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_points(&path, calls, known);
        } else if !path.ends_with("fault.rs") {
            let text = fs::read_to_string(&path).unwrap();
            // Where a line was too long, too.
            let text = text.lines().map(str::trim_start).collect::<String>();
            for call in calls {
                let names = text.split(call).skip(1).filter_map(|rest| rest.split('"').next());
                known.extend(names.map(str::to_owned));
            }
        }
    }
}
