//! Proof of the monitor: it reacts to each kind of event in time, with an audit entry and a metric,
//! and the sensor sees all frames again.
//!
//! A reaction may take 1 s, and 3 s on the emulated CPU of the lab, where each poll takes tens of
//! milliseconds.
//!
//! `make test` shows one reaction of each kind; `soak::monitor` and `trial::monitor` show the others.

pub(crate) mod shown;

use std::time::Duration;

use lab::traffic::{Capture, Class, Traffic};
use lab::{HostKind, Lab, Programs};

use self::shown::Shown;
use crate::card::{Card, I82576, X710};
use crate::script::{quoted, script};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest time from an event to the end of the reaction, in milliseconds.
const REACTION: u64 = 3000;

const X710_CONFIG: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nvfs = 4\n";

/// A host of this kind with the monitor.
pub(crate) fn monitored(host: HostKind, config: &str) -> Lab {
    let lab = Lab::with_runvf_on(host, Programs::WithFaultPoints).unwrap();
    lab.write("/etc/runvf/config.toml", config).unwrap();
    let functions =
        [include_str!("scripts/fault_points.sh"), include_str!("scripts/monitor.sh")].concat();
    let first_vf = Card::of(&lab).vf(0);
    lab.write("/tmp/functions", script(&functions, &[("first_vf", &first_vf)])).unwrap();
    lab.ok("mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug").unwrap();
    lab.ok("runvfctl setup").unwrap();
    with(&lab, "start_monitor");
    lab
}

/// The same, with a process `a` that has the first VF on VLAN 11.
pub(crate) fn sensor_on(host: HostKind, config: &str) -> Lab {
    let lab = monitored(host, config);
    with(&lab, "holder a; attach_without_mac");
    lab
}

fn x710() -> Lab {
    sensor_on(X710, X710_CONFIG)
}

fn igb() -> Lab {
    sensor_on(I82576, X710_CONFIG)
}

/// Runs a script that has the functions, and returns what it prints.
pub(crate) fn with(lab: &Lab, script: &str) -> String {
    let output = lab.ok_within(2 * TIMEOUT, &format!("source /tmp/functions; {script}"));
    output.unwrap_or_else(|error| panic!("{error}\n{}", journal(lab))).text().to_owned()
}

pub(crate) fn journal(lab: &Lab) -> String {
    lab.sh("journalctl -u runvf-monitor -o cat --no-pager; runvfctl status").unwrap().stdout
}

/// Asserts that a script prints a time within the limit.
fn assert_in_time(lab: &Lab, script: &str) {
    let text = with(lab, script);
    let last = text.lines().last().unwrap_or_default();
    let took: u64 = last.parse().unwrap_or_else(|_| panic!("{script}: {text}\n{}", journal(lab)));
    eprintln!("{script}: {took} ms");
    assert!(took <= REACTION, "{script}: {took} ms\n{}", journal(lab));
}

/// Frames of VLAN 11 for addresses that no station has, and of another VLAN.
fn assert_sees_everything(lab: &Lab, case: &str) {
    lab.ok("[ -e /run/netns/a ] || ip netns attach a $(cat /tmp/a.pid)").unwrap();
    let capture = Capture::start(lab, "mon0", Some("a")).unwrap();
    let traffic = Traffic::new()
        .send(Some(11), Class::UnknownUnicast, 200)
        .send(Some(12), Class::UnknownUnicast, 50)
        .send(Some(11), Class::Broadcast, 20);
    traffic.play(lab, "mirror0").unwrap();
    let seen = capture.finish(&traffic, Some(11)).unwrap();
    let verdict = traffic.judge(&seen, |flow| flow.vlan == Some(11)).unwrap();
    verdict.require_exact(case).unwrap();
}

/// The gaps of the audit log that have ended: each with its reason.
fn blind_entries(lab: &Lab) -> Vec<String> {
    let query = "runvfctl audit --json | jq -r '.[] | select(.event == \"blind\" and .since <= .until) | .reason'";
    lab.ok(query).unwrap().stdout.lines().map(str::to_owned).collect()
}

/// Each of these resets of the X710 is re-armed in time, and the sensor misses no frame afterwards.
pub(crate) fn resets_are_re_armed_in_time(resets: &[&str]) {
    let lab = monitored(X710, X710_CONFIG);
    // iavf has one channel for each CPU, and only with two of them `ethtool -L` changes something.
    let _both = lab.use_both_cpus().unwrap();
    with(&lab, "holder a; attach_without_mac");
    let shown = Shown::of(&lab);
    assert_sees_everything(&lab, "before a reset");
    for reset in resets {
        let before = blind_entries(&lab).len();
        assert_in_time(&lab, &format!("rearmed_after {reset}"));
        // A reset may take the carrier away twice.
        assert!(blind_entries(&lab).len() > before, "{reset}\n{}", journal(&lab));
        shown.wait_for_gaps();
        assert_sees_everything(&lab, reset);
    }
    shown.wait("runvf_monitor_rearms_total", "", |rearms| rearms >= resets.len() as f64);
    // The log says how long the sensor was blind: not since the last minute's check.
    let lengths = "runvfctl audit --json | jq -e '[.[] | select(.event == \"blind\")] | all((.until[0:19] + \"Z\" | fromdate) - (.since[0:19] + \"Z\" | fromdate) <= 20)'";
    lab.ok(lengths).unwrap();
    assert_eq!(lab.ok("runvfctl gc").unwrap().stdout, "");
}

#[test]
fn resets_of_the_x710_and_of_a_vf_are_re_armed_in_time() {
    resets_are_re_armed_in_time(&["pf_reset pfr", "reset_vf"]);
}

/// i40e keeps the VFs of a PF that goes down, or gets other rings or another MTU.
pub(crate) fn a_pf_of_the_x710_that_goes_down_is_noticed() {
    let lab = x710();
    let shown = Shown::of(&lab);
    with(&lab, "ip link set pf0 down; time_until said 'PF pf0 .* is down'");
    shown.wait_for("runvf_pf_up", "device=\"pf0\"", 0.0);
    with(&lab, "ip link set pf0 up; time_until said 'PF pf0 .* has its carrier back'");
    shown.wait_for("runvf_pf_up", "device=\"pf0\"", 1.0);
    assert_sees_everything(&lab, "after the PF was down");
    for change in ["ethtool -G pf0 rx 1024", "ip link set pf0 mtu 1600"] {
        lab.ok(change).unwrap();
        assert_sees_everything(&lab, change);
    }
}

/// A change of VLAN or trust, and a change of promiscuity inside.
fn changes_are_set_back(lab: &Lab) {
    let shown = Shown::of(lab);
    for (count, change) in ["vlan 300", "trust off", "state disable"].into_iter().enumerate() {
        let gaps: usize = with(lab, "claim .blind.gaps").parse().unwrap();
        assert_in_time(lab, &format!("ip link set pf0 vf 0 {change}; time_until vlan_is 11"));
        // The change and the one back have reset the VF.
        with(lab, &format!("time_until gaps_reach {}", gaps + 1));
        with(lab, &format!("time_until audited changed {}", count + 1));
        for name in ["runvf_changes_total", "runvf_monitor_restorations_total"] {
            shown.wait_for(name, "", (count + 1) as f64);
        }
        assert_sees_everything(lab, change);
    }
    let gaps = with(lab, "claim .blind.gaps");
    let gaps: usize = gaps.parse().unwrap();
    for (count, change) in ["promisc off allmulticast off", "down"].into_iter().enumerate() {
        let next = gaps + count + 1;
        assert_in_time(
            lab,
            &format!("inside ip link set mon0 {change}; time_until gaps_reach {next}"),
        );
        let shown = with(lab, "inside ip link show mon0");
        for flag in ["PROMISC", "ALLMULTI", "UP"] {
            assert!(shown.contains(flag), "{change}: {shown}");
        }
    }
    let entries = blind_entries(lab);
    for reason in ["its interface was not promiscuous", "its interface was down"] {
        assert!(entries.iter().any(|entry| entry == reason), "{entries:?}");
    }
    shown.wait_for_gaps();
    assert_sees_everything(lab, "after the changes inside");
}

pub(crate) fn changes_on_the_x710_are_set_back_in_time() {
    changes_are_set_back(&x710());
}

#[test]
fn changes_on_the_82576_are_set_back_in_time() {
    let lab = igb();
    let shown = Shown::of(&lab);
    for change in ["vlan 300", "trust off"] {
        assert_in_time(&lab, &format!("ip link set pf0 vf 0 {change}; time_until vlan_is 11"));
    }
    with(&lab, "time_until audited changed 2");
    shown.wait_for("runvf_changes_total", "", 2.0);
    for (change, gaps) in
        [("inside ip link set mon0 promisc off", 1), ("ip link set pf0 promisc off", 2)]
    {
        assert_in_time(&lab, &format!("{change}; time_until gaps_reach {gaps}"));
    }
    assert!(lab.ok("ip link show pf0").unwrap().stdout.contains("PROMISC"));
    let last = blind_entries(&lab).pop().unwrap();
    assert!(last.starts_with("another tool changed its PF: igb delivers"), "{last}");
    shown.wait_for_gaps();
    assert!(with(&lab, "inside ip link show mon0").contains("PROMISC"));
}

/// The process of a lost VF is killed, and the VF of a dead process is released.
pub(crate) fn a_container_without_its_vf_is_stopped_and_a_vf_without_its_container_released(
    host: HostKind,
) {
    for event in [
        "vf=$(basename $(readlink /sys/class/net/pf0/device/virtfn0)); echo $vf > /sys/bus/pci/devices/$vf/driver/unbind",
        "echo 0 > /sys/class/net/pf0/device/sriov_numvfs",
    ] {
        let lab = sensor_on(host, X710_CONFIG);
        let shown = Shown::of(&lab);
        assert_in_time(&lab, &format!("{event}; time_until has_ended a"));
        with(&lab, "time_until audited lost 1; time_until no_claim");
        for name in ["runvf_losses_total", "runvf_monitor_losses_total"] {
            shown.wait_for(name, "", 1.0);
        }
        shown.wait_for("runvf_claims", "state=\"lost\"", 0.0);
    }
    let lab = sensor_on(host, X710_CONFIG);
    let shown = Shown::of(&lab);
    assert_in_time(&lab, "kill -9 $(< /tmp/a.pid); time_until no_claim");
    with(&lab, "time_until audited released 1");
    for name in ["runvf_releases_total", "runvf_monitor_releases_total"] {
        shown.wait_for(name, "", 1.0);
    }
    shown.wait_for("runvf_release_duration_seconds_count", "", 1.0);
    assert!(lab.ok("ip link show pf0").unwrap().stdout.matches("vlan 11").count() == 0);
}

/// The unit's sandbox allows all of the above, and the service restarts after each kill.
pub(crate) fn the_service_is_ready_is_sandboxed_and_comes_back_after_a_kill() {
    let lab = x710();
    let exposure = lab.ok("systemd-analyze security runvf-monitor.service --no-pager | tail -n 1");
    eprintln!("{}", exposure.unwrap().text());
    for name in ["NoNewPrivileges", "MemoryDenyWriteExecute"] {
        let shown = lab.ok(&format!("systemctl show -P {name} runvf-monitor.service")).unwrap();
        assert_eq!(shown.text(), "yes", "{name}");
    }
    // The drivers' messages can be read in the sandbox, and no call has failed there.
    assert!(!journal(&lab).contains("cannot"), "{}", journal(&lab));
    let id =
        || lab.ok("systemctl show -P MainPID runvf-monitor.service").unwrap().text().to_owned();
    let first = id();
    lab.ok(&format!("kill -9 {first}")).unwrap();
    let other = format!(
        "pid=$(systemctl show -P MainPID runvf-monitor.service); [ $pid != 0 ] && [ $pid != {first} ] && systemctl is-active runvf-monitor.service"
    );
    lab.wait_until(TIMEOUT, &other).unwrap();
    assert_in_time(&lab, "rearmed_after pf_reset pfr");
    lab.ok("systemctl stop runvf-monitor.service").unwrap();
    // Without the monitor, gc does the same.
    with(
        &lab,
        "pf_reset pfr; time_until eval \"runvfctl status | grep -q 'may not be promiscuous'\"",
    );
    lab.wait_until(
        TIMEOUT,
        &format!(
            "source /tmp/functions; has_carrier a; runvfctl gc | grep -q {}",
            quoted("re-armed")
        ),
    )
    .unwrap();
}

/// `runvfctl setup --monitor` enables the unit, and the doctor knows.
#[test]
fn setup_enables_the_monitor_and_the_doctor_knows_whether_it_runs() {
    let lab = Lab::with_runvf_on(X710, Programs::Released).unwrap();
    let finding = |check: &str| {
        let query = format!(
            // The status of the doctor tells of the worst finding.
            "(runvfctl doctor --json || true) | jq -r '.[] | select(.check == \"{check}\") | .severity'"
        );
        lab.ok(&query).unwrap().text().to_owned()
    };
    assert_eq!((finding("monitor").as_str(), finding("gc-timer").as_str()), ("warning", "failure"));
    let shown = lab.ok("systemctl daemon-reload; runvfctl setup --monitor").unwrap();
    assert!(
        shown.stdout.ends_with("monitor: runvf-monitor.service enabled and started\n"),
        "{shown}"
    );
    lab.ok("systemctl is-enabled runvf-monitor.service; systemctl is-active runvf-monitor.service")
        .unwrap();
    assert_eq!((finding("monitor").as_str(), finding("gc-timer").as_str()), ("ok", "warning"));
}
