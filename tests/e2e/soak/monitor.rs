//! The monitor is killed at any moment, costs nothing while it has nothing to do, and survives
//! floods and bad input.

use lab::{Lab, Nic};

use crate::hook_calls::seed;
use crate::monitor::{TIMEOUT, journal, sensor_on, with};
use crate::script::script;

const CONFIG: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nvfs = 8\n";

/// Runs `scale` times 30 attaches with their releases and resets of the PF, and 20 kills of the
/// monitor. At the end nothing is lost, shared, dirty or blind.
pub(crate) fn kills_of_the_monitor_harm_nothing(scale: u32) {
    let lab = sensor_on(Nic::IntelX710, CONFIG);
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
fn twenty_kills_of_the_monitor_harm_nothing() {
    kills_of_the_monitor_harm_nothing(1);
}

fn figure(lab: &Lab, script: &str) -> f64 {
    with(lab, script).parse().unwrap()
}

/// 32 VFs on each of two PFs.
#[test]
fn sixty_four_idle_vfs_cost_two_wake_ups_a_second_and_20_mib() {
    let config = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\", \"pf1\"]\nvfs = 32\n";
    let lab = sensor_on(Nic::IntelX710, config);
    with(&lab, "true");
    let program = script(include_str!("../scripts/monitor_idle.sh"), &[("count", "64")]);
    lab.write("/tmp/idle", program).unwrap();
    lab.ok_within(TIMEOUT * 30, "source /tmp/idle; fill").unwrap();
    let wake_ups = figure(&lab, "source /tmp/idle; wake_ups 30");
    let resident = figure(&lab, "source /tmp/idle; resident");
    eprintln!("64 idle VFs: {wake_ups} wake-ups a second, {resident} KiB resident");
    assert!(wake_ups <= 2.0, "{wake_ups} wake-ups a second");
    assert!(resident < 20.0 * 1024.0, "{resident} KiB");
    // One event is one look at one VF.
    let looks = with(&lab, "source /tmp/idle; checks_after inside ip link set mon0 promisc off");
    assert_eq!(looks, "1", "records that one event has changed");
    // A reset of a PF concerns all its VFs, which are re-armed together.
    let took = figure(&lab, "source /tmp/idle; all_rearmed_after_reset");
    eprintln!("32 VFs re-armed {took} ms after the last one has its carrier back");
    assert!(took <= 3000.0, "{took} ms");
}

#[test]
fn floods_and_bad_input_leave_the_monitor_up_and_small() {
    let lab = sensor_on(Nic::IntelX710, CONFIG);
    let output = lab.sh_within(TIMEOUT * 10, include_str!("../scripts/monitor_floods.sh")).unwrap();
    assert_eq!(output.status, 0, "{output}\n{}", journal(&lab));
    eprintln!("{}", output.text());
}
