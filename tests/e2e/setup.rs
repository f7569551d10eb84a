//! Proof of `runvfctl setup`: it makes PFs ready, and changes nothing on a PF that is ready.

use std::path::Path;

use lab::{HostKind, Lab, Output};

use crate::card::{ALLOW_PROMISC, Card};
use crate::engine::{Engine, run, start};
use crate::host::{assert_untouched, configure, installed, installed_on, settle, state};

pub(crate) fn pool(pfs: &str, vfs: usize) -> String {
    format!("[[pool]]\nname = \"sensors\"\npfs = [{pfs}]\nvfs = {vfs}\n")
}

fn assert_said(output: &Output, status: i32, text: &str) {
    assert_eq!(output.status, status, "{output}");
    assert!(output.stdout.contains(text), "{text:?} is not in {output}");
}

/// Whether pf0 is up and promiscuous, and its number of VFs.
pub(crate) fn pf0(lab: &Lab) -> (bool, bool, String) {
    let link = lab.json("ip -j link show pf0").unwrap()[0]["flags"].to_string();
    let count = lab.ok("cat /sys/class/net/pf0/device/sriov_numvfs").unwrap().text().to_owned();
    (link.contains("\"UP\""), link.contains("\"PROMISC\""), count)
}

/// On the 82576.
#[test]
fn a_pf_is_set_up_once() {
    let lab = installed();
    configure(&lab, &pool("\"pf0\"", 3));
    lab.ok("ip link set pf0 promisc off").unwrap();
    // Commands that only read write nothing.
    lab.ok("runvfctl status; runvfctl setup --dry-run; runvfctl doctor || true; [ ! -e /run/runvf/claims ]").unwrap();
    let before = state(&lab);
    // A VF of this PF would be up and promiscuous, and would not receive unknown unicast.
    let refused = run(&lab, Engine::Docker, "--annotation io.runvf.vlan=100", "echo it runs");
    let why = "a VF of PF pf0 would not be promiscuous: igb delivers unknown unicast to VFs only while the PF itself is \
               promiscuous; run `runvfctl setup` or `ip link set pf0 promisc on`; `promisc = \"best-effort\"` in the pool";
    assert_eq!(refused.status, Engine::Docker.refusal(), "{refused}");
    assert!(refused.stderr.contains(why), "{refused}");
    assert_eq!(state(&lab), before);

    configure(&lab, &pool("\"pf9\", \"pf0\"", 3));
    lab.ok("ip link set pf0 down").unwrap();
    let plan = "pf0: up, promiscuous, 3 VFs\n";
    assert_said(&lab.sh("runvfctl setup --dry-run").unwrap(), 3, plan);
    assert_eq!(pf0(&lab), (false, false, "0".to_owned()));
    // A missing PF does not prevent the setup of the other one.
    let done = lab.sh("runvfctl setup").unwrap();
    assert_said(&done, 3, plan);
    assert_said(&done, 3, "pf9: not ready: PF pf9 of pool `sensors` does not exist; ");
    assert_eq!(pf0(&lab), (true, true, "3".to_owned()));

    let defaults = "[defaults]\nprofile = \"plain\"\nmtu = 1400\n";
    configure(&lab, &(defaults.to_owned() + &pool("\"pf0\"", 3)));
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: ready: nothing to do\n");
    let output = run(&lab, Engine::Docker, "--annotation io.runvf.vlan=100", "ip link show mon0");
    let has = |text: &str| output.stdout.contains(text);
    assert!(has("PROMISC") && has("mtu 1400") && !has("NOARP"), "{output}");

    // udev saw these VFs before the rules were installed; setup triggers it again.
    let count = "for link in /sys/class/net/pf0/device/virtfn*/net/*; do udevadm info $link; done | grep -c RUNVF_VF=1";
    lab.install_network_rules().unwrap();
    lab.ok("udevadm control --reload; udevadm settle -t 60").unwrap();
    assert_eq!(lab.sh(count).unwrap().text(), "0");
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: 3 VFs hidden from network managers\n");
    assert_eq!(lab.ok(count).unwrap().text(), "3");
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: ready: nothing to do\n");

    // The PF has another driver than the pool requires.
    configure(&lab, &(pool("\"pf0\"", 3) + "driver = \"i40e\"\n"));
    let problem = "PF pf0 has driver igb, but pool `sensors` requires i40e; load that driver, or correct `driver` in ";
    assert_said(&lab.sh("runvfctl setup").unwrap(), 3, problem);
    let refused = run(&lab, Engine::Docker, "--annotation io.runvf.vlan=100", "echo it runs");
    assert_eq!(refused.status, Engine::Docker.refusal(), "{refused}");
    assert!(refused.stderr.contains(problem), "{refused}");

    for other in [2, 5] {
        configure(&lab, &pool("\"pf0\"", other));
        let problem = format!("PF pf0 has 3 VFs, but pool `sensors` requires {other}; ");
        assert_said(&lab.sh("runvfctl setup").unwrap(), 3, &problem);
    }
    assert_eq!(pf0(&lab), (true, true, "3".to_owned()));
}

/// What an X710 needs besides: the private flag of the PF, which decides on the promiscuity of VFs, and
/// 32 VFs that rest without a driver.
pub(crate) fn a_pf_with_a_private_flag_is_set_up_once(host: HostKind) {
    const FLAG: &str = "ethtool --show-priv-flags pf0 | sed -n 's/^vf-true-promisc-support *: //p'";
    const ASKS: &str = "--annotation io.runvf.vlan=100";
    let lab = installed_on(host);
    let card = Card::of(&lab);
    let vfs = card.max_vfs;
    let flag = || lab.ok(FLAG).unwrap().text().to_owned();
    configure(&lab, &pool("\"pf0\"", vfs));
    let before = state(&lab);
    let refused = run(&lab, Engine::Docker, ASKS, "echo it runs");
    let why = "a VF of PF pf0 would not be promiscuous: the private flag vf-true-promisc-support of pf0 is off; \
               stop the sensors on that card and run `runvfctl setup` or \
               `ethtool --set-priv-flags pf0 vf-true-promisc-support on`";
    assert_eq!(refused.status, Engine::Docker.refusal(), "{refused}");
    assert!(refused.stderr.contains(why), "{refused}");
    assert_eq!(state(&lab), before);

    lab.ok("ip link set pf0 down").unwrap();
    let plan =
        format!("pf0: vf-true-promisc-support of pf0 on, new VFs get no driver, up, {vfs} VFs\n");
    assert_said(&lab.sh("runvfctl setup --dry-run").unwrap(), 0, &plan);
    assert_eq!((flag().as_str(), pf0(&lab).2.as_str()), ("off", "0"));
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, &plan);
    let (up, _, count) = pf0(&lab);
    assert_eq!((flag().as_str(), up, count), ("on", true, vfs.to_string()));
    assert_eq!(bound(&lab), (0, "0".to_owned()));
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: ready: nothing to do\n");
    let doctor = lab.sh("runvfctl doctor").unwrap();
    let parked = format!("{vfs} of {vfs}, {vfs} parked without driver");
    assert!(doctor.stdout.contains(&parked), "{doctor}");

    // setup does not change the flag of a card with a sensor.
    start(&lab, Engine::Docker, "user", ASKS);
    lab.ok("ethtool --set-priv-flags pf0 vf-true-promisc-support off").unwrap();
    let problem = format!(
        "pf0: not ready: private flag `vf-true-promisc-support` of pf0 is off, and VF {} of that card is claimed; ",
        card.vf(0)
    );
    assert_said(&lab.sh("runvfctl setup").unwrap(), 3, &problem);
    assert_eq!(flag(), "off");
    lab.ok("docker rm -f user").unwrap();
    let step = "pf0: vf-true-promisc-support of pf0 on\n";
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, step);

    let undone = format!("pf0: new VFs get a driver, {vfs} free VFs with driver\n");
    assert_said(&lab.sh("runvfctl setup --undo").unwrap(), 0, &undone);
    assert_eq!(bound(&lab), (vfs, "1".to_owned()));

    configure(&lab, &(pool("\"pf0\"", vfs) + "driver = \"igb\"\n"));
    let problem = "PF pf0 has driver i40e, but pool `sensors` requires igb; load that driver, or correct `driver` in ";
    assert_said(&lab.sh("runvfctl setup").unwrap(), 3, problem);
}

/// The VFs of pf0 with a driver, and whether the kernel binds drivers to new VFs.
fn bound(lab: &Lab) -> (usize, String) {
    let script = "for vf in /sys/class/net/pf0/device/virtfn*; do [ ! -e $vf/driver ] || echo $vf; done | wc -l
        cat /sys/class/net/pf0/device/sriov_drivers_autoprobe";
    let shown = lab.ok(script).unwrap();
    let (count, autoprobe) = shown.text().split_once('\n').unwrap();
    (count.parse().unwrap(), autoprobe.to_owned())
}

/// The VFs of igb rest bound unless the pool says otherwise.
pub(crate) fn free_vfs_rest_without_a_driver_and_get_it_back(host: HostKind) {
    let lab = installed_on(host);
    let card = Card::of(&lab);
    lab.ok(ALLOW_PROMISC).unwrap();
    configure(&lab, &(pool("\"pf0\"", 3) + "rest = \"bound\"\n"));
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: 3 VFs\n");
    settle(&lab, 3);
    assert_eq!(bound(&lab), (3, "1".to_owned()));

    configure(&lab, &(pool("\"pf0\"", 3) + "rest = \"unbound\"\n"));
    let steps = "pf0: new VFs get no driver, 3 free VFs without driver\n";
    assert_said(&lab.sh("runvfctl setup --dry-run").unwrap(), 0, steps);
    assert_eq!(bound(&lab), (3, "1".to_owned()));
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, steps);
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: ready: nothing to do\n");
    assert_eq!(bound(&lab), (0, "0".to_owned()));
    let free = "runvfctl status --json | jq '[.[].vfs[] | select(.state == \"free\" and .netdev == null)] | length'";
    assert_eq!(lab.ok(free).unwrap().text(), "3");
    let doctor = lab.sh("runvfctl doctor").unwrap();
    let parked = format!("3 of {}, 3 parked without driver", card.max_vfs);
    assert!(doctor.stdout.contains(&parked), "{doctor}");

    let untouched = state(&lab);
    let output = run(&lab, Engine::Docker, "--annotation io.runvf.vlan=100", "ip link show mon0");
    assert!(output.status == 0 && output.stdout.contains("PROMISC"), "{output}");
    assert_untouched(&lab, &untouched);
    assert_eq!(bound(&lab), (0, "0".to_owned()), "a release leaves the VF parked");
    // One property needs a fourth VF. On igb, three properties are refuted.
    let status = if card.trust_matters() { 3 } else { 2 };
    assert_said(&lab.sh("timeout 300 runvfctl probe pf0").unwrap(), status, "vlan-set");
    assert_eq!(bound(&lab), (0, "0".to_owned()));

    start(&lab, Engine::Docker, "user", "--annotation io.runvf.vlan=100");
    let undone = "pf0: new VFs get a driver, 2 free VFs with driver\n";
    assert_said(&lab.sh("runvfctl setup --undo").unwrap(), 0, undone);
    lab.ok("docker rm -f user").unwrap();
    assert_eq!(bound(&lab), (3, "1".to_owned()), "a release after the undo binds the VF");
    assert_said(&lab.sh("runvfctl setup --undo").unwrap(), 0, "");

    // An operator's own setting stays.
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_drivers_autoprobe").unwrap();
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: 3 free VFs without driver\n");
    assert_said(&lab.sh("runvfctl setup --undo").unwrap(), 0, "");
    assert_eq!(bound(&lab), (0, "0".to_owned()));
}

#[test]
fn the_uninstall_of_the_last_engine_undoes_the_parking() {
    let lab = installed();
    configure(&lab, &(pool("\"pf0\"", 3) + "rest = \"unbound\"\n"));
    lab.ok("runvfctl setup").unwrap();
    assert_eq!(bound(&lab), (0, "0".to_owned()));
    lab.ok("runvfctl uninstall podman").unwrap();
    assert_eq!(bound(&lab), (0, "0".to_owned()), "Docker still knows runvf");
    let done = lab.ok("runvfctl uninstall docker").unwrap();
    assert!(done.stdout.contains("pf0: new VFs get a driver, 3 free VFs with driver"), "{done}");
    assert_eq!(bound(&lab), (3, "1".to_owned()));
}

/// The emulated card has no `vf-true-promisc-support`, but another private flag, which is set in
/// the same way.
#[test]
fn a_private_flag_is_set_and_read_back() {
    let lab = Lab::restore().unwrap();
    lab.push(Path::new(env!("CARGO_BIN_EXE_private-flag")), "/tmp/private-flag").unwrap();
    let shown = || lab.ok("ethtool --show-priv-flags pf0").unwrap().stdout;
    let before = shown();
    assert!(before.contains("legacy-rx: off"), "{before}");
    lab.ok("/tmp/private-flag pf0 legacy-rx on").unwrap();
    assert_eq!(shown(), before.replace("legacy-rx: off", "legacy-rx: on"));
    lab.ok("/tmp/private-flag pf0 legacy-rx off").unwrap();
    assert_eq!(shown(), before);
    let refused = lab.sh("/tmp/private-flag pf0 vf-true-promisc-support on").unwrap();
    assert_eq!(refused.status, 1, "{refused}");
    assert!(refused.stderr.contains("cannot set a private flag of pf0: "), "{refused}");
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super:
        a_pf_with_a_private_flag_is_set_up_once,
        free_vfs_rest_without_a_driver_and_get_it_back,
    );
}
