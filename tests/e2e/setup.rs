//! Proof of `runvfctl setup`: it makes PFs ready, and changes nothing on a PF that is ready.

use std::path::Path;

use lab::{Lab, Output};

use crate::engine::{Engine, run};
use crate::host::{configure, installed, state};

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
    let why = "a VF of PF pf0 would not be promiscuous: igb hands unknown unicast to VFs only while the PF itself is \
               promiscuous; `runvfctl setup`, or `ip link set pf0 promisc on`; `promisc = \"best-effort\"` in the pool";
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
    assert_said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: network managers off 3 VFs\n");
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
