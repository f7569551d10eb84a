//! Proof of recovery from resets: after each kind of reset of a VF or its PF, one `runvfctl gc` is enough.
//! The sensor receives unknown unicast again, frame by frame, and a gap has its audit entry.

use std::time::Duration;

use lab::traffic::{Capture, Class, Flow, Traffic};
use lab::{HostKind, Lab};

use crate::card::Card;
use crate::hook_calls::{assert_free, functions, with};
use crate::host::set_up_on;
use crate::switch::sees_unknown_unicast;

const VLAN: u16 = 11;
const FRAMES: u32 = 20;
const TIMEOUT: Duration = Duration::from_secs(90);

/// What resets a VF or its PF.
struct Reset {
    command: &'static str,
    /// Whether the sensor is blind afterwards, until a `gc`.
    blinds: bool,
}

const fn blinds(command: &'static str) -> Reset {
    Reset { command, blinds: true }
}

const fn harmless(command: &'static str) -> Reset {
    Reset { command, blinds: false }
}

/// igbvf looks at the link every 2 s.
const PF_GOES_DOWN_AND_UP: &str = "ip link set pf0 down; sleep 3; ip link set pf0 up";
const VF_RESET: &str = "echo 1 > /sys/class/net/pf0/device/virtfn0/reset";
const MTU_OF_PF: &str = "ip link set pf0 mtu 1600";
const RINGS_OF_PF: &str = "ethtool -G pf0 rx 1024";
const RINGS_OF_VF: &str = "ip netns exec a ethtool -G mon0 rx 1024";

/// i40e keeps the VFs of a PF that goes down, or gets other rings or another MTU.
const OF_X710: [Reset; 8] = [
    blinds("echo pfr > /sys/kernel/debug/i40e/0000:01:00.0/command"),
    blinds("echo corer > /sys/kernel/debug/i40e/0000:01:00.0/command"),
    blinds(VF_RESET),
    blinds("ip netns exec a ethtool -L mon0 combined 1"),
    blinds(RINGS_OF_VF),
    harmless(PF_GOES_DOWN_AND_UP),
    harmless(RINGS_OF_PF),
    harmless(MTU_OF_PF),
];

/// igbvf tells its PF after each reset what it needs, and promiscuity is the PF's own.
const OF_82576: [Reset; 5] = [
    harmless(VF_RESET),
    harmless(RINGS_OF_VF),
    harmless(PF_GOES_DOWN_AND_UP),
    harmless(RINGS_OF_PF),
    harmless(MTU_OF_PF),
];

/// Waits until the carrier of the sensor's interface does not change for 5 s. igbvf looks at the
/// link every 2 s, and a reset may end with several changes of it.
fn wait_for_stable_carrier(lab: &Lab) {
    let stable = "
        read_carrier() { ip netns exec a cat /sys/class/net/mon0/carrier /sys/class/net/mon0/carrier_changes | xargs; }
        first=$(read_carrier)
        [ \"${first% *}\" = 1 ] || return 1
        for _ in 1 2 3 4 5; do
            sleep 1
            [ \"$(read_carrier)\" = \"$first\" ] || return 1
        done";
    lab.wait_until(TIMEOUT, stable).unwrap();
}

/// Asserts which frames the sensor receives: broadcasts of its VLAN, and unknown unicast of its VLAN only
/// if it `sees` that.
fn assert_receives(lab: &Lab, sees: bool, case: &str) {
    let capture = Capture::start(lab, "mon0", Some("a")).unwrap();
    let traffic = Traffic::new().send_all(&[Some(VLAN), Some(VLAN + 1), None], &[], FRAMES);
    traffic.play(lab, "mirror0").unwrap();
    let seen = capture.finish(&traffic, Some(VLAN)).unwrap();
    let expected =
        |flow: &Flow| flow.vlan == Some(VLAN) && (sees || flow.class == Class::Broadcast);
    traffic.judge(&seen, expected).unwrap().require_exact(case).unwrap();
}

fn blind_entries(lab: &Lab) -> usize {
    let count = "runvfctl audit --json | jq '[.[] | select(.event == \"blind\")] | length'";
    lab.ok(count).unwrap().text().parse().unwrap()
}

fn assert_recovery_from(lab: &Lab, reset: &Reset) {
    let Reset { command, blinds } = *reset;
    let entries = blind_entries(lab);
    lab.ok(command).unwrap();
    if blinds {
        lab.wait_until(TIMEOUT, "runvfctl status | grep -q 'it may not be promiscuous: '").unwrap();
    }
    wait_for_stable_carrier(lab);
    let told = lab.ok("runvfctl status").unwrap().stdout.contains("it may not be promiscuous: ");
    assert_receives(lab, !blinds, command);

    let done = lab.ok("runvfctl gc").unwrap();
    let vf = Card::of(lab).vf(0);
    match told {
        true => {
            let line = format!("{vf} re-armed (mon0 of a): ");
            assert!(done.stdout.starts_with(&line), "{command}: {done}");
        }
        false => assert_eq!(done.stdout, "", "{command}"),
    }
    assert_receives(lab, true, command);
    assert_eq!(blind_entries(lab), entries + usize::from(told), "{command}");
    assert_eq!(lab.ok("runvfctl gc").unwrap().stdout, "", "{command}");
    if Card::of(lab).trust_matters() {
        assert!(sees_unknown_unicast(lab, 0, VLAN), "{command}");
    }
}

pub(crate) fn unknown_unicast_arrives_again_after_each_reset(host: HostKind) {
    let lab = set_up_on(host);
    functions(&lab);
    // iavf has one channel for each CPU, and only with two of them `ethtool -L` changes something.
    let _both = lab.use_both_cpus().unwrap();
    lab.ok("mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug").unwrap();
    lab.ok(&with(&format!("holder a {VLAN}; attach a; ip netns attach a $(cat /tmp/a.pid)")))
        .unwrap();
    assert_receives(&lab, true, "before the resets");
    let resets: &[Reset] = match Card::of(&lab).trust_matters() {
        true => &OF_X710,
        false => &OF_82576,
    };
    for reset in resets {
        assert_recovery_from(&lab, reset);
    }
    // The name would keep the namespace.
    lab.ok(&with("ip netns del a; end a; detach a")).unwrap();
    assert_free(&lab, "after the release");
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super: unknown_unicast_arrives_again_after_each_reset);
}
