//! Proof of `runvfctl setup`: it makes PFs ready, and changes nothing on a PF that is ready.

use std::path::Path;

use lab::{Lab, Output};

use crate::engine::{Engine, run, start};
use crate::host::{assert_untouched, configure, installed, state};

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

/// The VFs of pf0 with a driver, and whether the kernel binds drivers to new VFs.
fn bound(lab: &Lab) -> (usize, String) {
    let script = "for vf in /sys/class/net/pf0/device/virtfn*; do [ ! -e $vf/driver ] || echo $vf; done | wc -l
        cat /sys/class/net/pf0/device/sriov_drivers_autoprobe";
    let shown = lab.ok(script).unwrap();
    let (count, autoprobe) = shown.text().split_once('\n').unwrap();
    (count.parse().unwrap(), autoprobe.to_owned())
}

/// igb needs no parked VFs, but can have them.
#[test]
fn free_vfs_rest_without_a_driver_and_get_it_back() {
    let lab = installed();
    configure(&lab, &pool("\"pf0\"", 3));
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: 3 VFs\n");
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
    assert!(doctor.stdout.contains("3 of 7, 3 parked without driver"), "{doctor}");

    let untouched = state(&lab);
    let output = run(&lab, Engine::Docker, "--annotation io.runvf.vlan=100", "ip link show mon0");
    assert!(output.status == 0 && output.stdout.contains("PROMISC"), "{output}");
    assert_untouched(&lab, &untouched);
    assert_eq!(bound(&lab), (0, "0".to_owned()), "a release leaves the VF parked");
    // On igb, three properties are refuted.
    assert_said(&lab.sh("timeout 300 runvfctl probe pf0").unwrap(), 2, "vlan-set");
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
