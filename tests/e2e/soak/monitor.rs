//! The monitor is killed at any moment, costs nothing while it has nothing to do, and survives
//! floods and bad input.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use lab::Lab;
use lab::traffic::{Class, Traffic};

use crate::card::X710;
use crate::hook_calls::seed;
use crate::monitor::shown::{self, Shown};
use crate::monitor::{
    self, TIMEOUT, journal, monitored, resets_are_re_armed_in_time, sensor_on, with,
};
use crate::script::script;

const CONFIG: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nvfs = 8\n";

/// Runs `scale` times 30 attaches with their releases and resets of the PF, and 20 kills of the
/// monitor. At the end nothing is lost, shared, dirty or blind.
pub(crate) fn kills_of_the_monitor_harm_nothing(scale: u32) {
    let lab = sensor_on(X710, CONFIG);
    let (cycles, kills) = ((30 * scale).to_string(), (20 * scale).to_string());
    let seed = seed().to_string();
    let parameters = [("cycles", &*cycles), ("kills", &*kills), ("seed", &*seed)];
    let program = script(include_str!("../scripts/monitor_kills.sh"), &parameters);
    let output = lab.sh_within(TIMEOUT * 60 * scale, &program).unwrap();
    assert_eq!(output.status, 0, "{output}\n{}", journal(&lab));
    eprintln!("{}", output.text());
    assert_eq!(lab.x710_journal().unwrap(), "");
}

#[test]
fn the_other_resets_of_the_x710_are_re_armed_in_time() {
    resets_are_re_armed_in_time(&[
        "pf_reset corer",
        "inside ethtool -L mon0 combined 2",
        "inside ethtool -G mon0 rx 1024",
        "inside ip link set mon0 mtu 1400",
    ]);
}

#[test]
fn changes_on_the_x710_are_set_back_in_time() {
    monitor::changes_on_the_x710_are_set_back_in_time();
}

#[test]
fn metrics_tell_what_a_sensor_receives_and_loses() {
    shown::metrics_tell_what_a_sensor_receives_and_loses();
}

#[test]
fn a_change_that_is_not_set_back_puts_the_sensor_in_doubt() {
    shown::a_change_that_is_not_set_back_puts_the_sensor_in_doubt();
}

#[test]
fn twenty_kills_of_the_monitor_harm_nothing() {
    kills_of_the_monitor_harm_nothing(1);
}

fn figure(lab: &Lab, script: &str) -> f64 {
    with(lab, script).parse().unwrap()
}

/// 32 VFs on each of two PFs.
pub(crate) fn sixty_four_idle_vfs_cost_two_wake_ups_a_second_and_20_mib() {
    let config = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\", \"pf1\"]\nvfs = 32\n";
    let lab = sensor_on(X710, config);
    with(&lab, "true");
    let program = script(include_str!("../scripts/monitor_idle.sh"), &[("count", "64")]);
    lab.write("/tmp/idle", program).unwrap();
    lab.ok_within(TIMEOUT * 30, "source /tmp/idle; fill").unwrap();
    let wake_ups = figure(&lab, "source /tmp/idle; wake_ups 30");
    let resident = figure(&lab, "source /tmp/idle; resident");
    eprintln!("64 idle VFs: {wake_ups} wake-ups a second, {resident} KiB resident");
    assert!(wake_ups <= 2.0, "{wake_ups} wake-ups a second");
    assert!(resident < 20.0 * 1024.0, "{resident} KiB");
    let shown = Shown::of(&lab);
    let took = shown.value("runvf_monitor_view_duration_seconds", "").unwrap();
    eprintln!("a look at the host for metrics and page takes {took} s");
    // One event is one look at one VF.
    let full_looks = shown.value("runvf_monitor_full_looks_total", "");
    let looks = with(&lab, "source /tmp/idle; checks_after inside ip link set mon0 promisc off");
    assert_eq!(looks, "1", "records that one event has changed");
    shown.wait("runvf_vf_gaps_total", "vf=\"0\"", |gaps| gaps >= 1.0);
    assert_eq!(shown.value("runvf_monitor_full_looks_total", ""), full_looks);
    let unwatched = [("runvf_claims", "state=\"attached\""), ("runvf_monitor_watched_vfs", "")];
    assert_eq!(unwatched.map(|(name, label)| shown.value(name, label)), [Some(64.0); 2]);
    // A reset of a PF concerns all its VFs, which are re-armed together.
    let took = figure(&lab, "source /tmp/idle; all_rearmed_after_reset");
    eprintln!("32 VFs re-armed {took} ms after the last one has its carrier back");
    assert!(took <= 3000.0, "{took} ms");
}

pub(crate) fn floods_and_bad_input_leave_the_monitor_up_and_small() {
    let lab = sensor_on(X710, CONFIG);
    let output = lab.sh_within(TIMEOUT * 10, include_str!("../scripts/monitor_floods.sh")).unwrap();
    assert_eq!(output.status, 0, "{output}\n{}", journal(&lab));
    eprintln!("{}", output.text());
}

/// The page of a monitor with two sensors, in Chromium on this machine, with frames on one VLAN.
pub(crate) fn the_page_shows_live_sensors_in_a_browser() {
    let tenants =
        "[[tenant]]\nname = \"acme\"\nvlans = [11]\n[[tenant]]\nname = \"bravo\"\nvlans = [22]\n";
    let lab = monitored(X710, &format!("{CONFIG}{tenants}"));
    for (name, vlan, tenant) in [("a", 11, "acme"), ("b", 22, "bravo")] {
        let more = format!(",\"io.runvf.tenant\":\"{tenant}\"");
        with(&lab, &format!("holder {name}; more='{more}' hook attach {name} {vlan}"));
    }
    let frames = Traffic::new().send(Some(11), Class::UnknownUnicast, 50);
    lab.write("/tmp/frames.pcap", frames.pcap().unwrap()).unwrap();
    with(
        &lab,
        "tcpreplay --loop=0 --pps=20 -i mirror0 /tmp/frames.pcap < /dev/null > /dev/null 2>&1 &",
    );
    let port = Shown::of(&lab).port.to_string();
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("monitor/tools");
    let mut browser = Command::new(tools)
        .args(["python3", "tests/monitor/live.py", &port, "/project/target"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let wishes = BufReader::new(browser.stdout.take().unwrap()).lines();
    for wish in wishes.map(Result::unwrap) {
        match wish.as_str() {
            "promisc off" => drop(with(&lab, "inside ip link set mon0 promisc off")),
            "unplug" => lab.set_x710_cable(0, false).unwrap(),
            "plug" => lab.set_x710_cable(0, true).unwrap(),
            other => panic!("{other}"),
        }
    }
    assert!(browser.wait().unwrap().success(), "{}", journal(&lab));
}
