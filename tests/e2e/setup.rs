//! `runvfctl setup`: PFs are made ready, by hand and at boot.

use std::path::Path;
use std::time::Duration;

use lab::{Lab, Output};

use crate::engine::{Engine, IMAGE, run};
use crate::holder::{functions, vlans};
use crate::host::{configure, installed, state};

fn pool(pfs: &str, vfs: usize) -> String {
    format!("[[pool]]\nname = \"sensors\"\npfs = [{pfs}]\nvfs = {vfs}\n")
}

fn said(output: &Output, status: i32, text: &str) {
    assert_eq!(output.status, status, "{output}");
    assert!(output.stdout.contains(text), "{text:?} is not in {output}");
}

/// Flags that `ip link set` can give, and the number of VFs.
fn pf0(lab: &Lab) -> (bool, bool, String) {
    let link = lab.json("ip -j link show pf0").unwrap()[0]["flags"].to_string();
    let count = lab.ok("cat /sys/class/net/pf0/device/sriov_numvfs").unwrap().text().to_owned();
    (link.contains("\"UP\""), link.contains("\"PROMISC\""), count)
}

#[test]
fn a_pf_is_made_ready_and_then_left_alone() {
    let lab = installed();
    configure(&lab, &pool("\"pf0\"", 3));
    lab.ok("ip link set pf0 promisc off").unwrap();
    // Whoever only looks writes nothing.
    lab.ok("runvfctl status; runvfctl setup --dry-run; runvfctl doctor || true; [ ! -e /run/runvf/claims ]").unwrap();
    let before = state(&lab);
    // A VF of this PF would be up and promiscuous and see nothing of others.
    let refused = run(&lab, Engine::Docker, "--annotation io.runvf.vlan=100", "echo it runs");
    let why = "a VF of PF pf0 would not be promiscuous: igb delivers unknown unicast to VFs only while the PF itself is \
               promiscuous; run `runvfctl setup` or `ip link set pf0 promisc on`; `promisc = \"best-effort\"` in the pool";
    assert_eq!(refused.status, Engine::Docker.refusal(), "{refused}");
    assert!(refused.stderr.contains(why), "{refused}");
    assert_eq!(state(&lab), before);

    configure(&lab, &pool("\"pf9\", \"pf0\"", 3));
    lab.ok("ip link set pf0 down").unwrap();
    let plan = "pf0: up, promiscuous, 3 VFs\n";
    said(&lab.sh("runvfctl setup --dry-run").unwrap(), 3, plan);
    assert_eq!(pf0(&lab), (false, false, "0".to_owned()));
    // One that is missing does not keep the other from it.
    let done = lab.sh("runvfctl setup").unwrap();
    said(&done, 3, plan);
    said(&done, 3, "pf9: not ready: PF pf9 of pool `sensors` is not on this machine; ");
    assert_eq!(pf0(&lab), (true, true, "3".to_owned()));

    let defaults = "[defaults]\nprofile = \"plain\"\nmtu = 1400\n";
    configure(&lab, &(defaults.to_owned() + &pool("\"pf0\"", 3)));
    said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: ready: nothing to do\n");
    let output = run(&lab, Engine::Docker, "--annotation io.runvf.vlan=100", "ip link show mon0");
    let has = |text: &str| output.stdout.contains(text);
    assert!(has("PROMISC") && has("mtu 1400") && !has("NOARP"), "{output}");

    // VFs that udev saw while there were no rules are told of once there are.
    let told = "for link in /sys/class/net/pf0/device/virtfn*/net/*; do udevadm info $link; done | grep -c RUNVF_VF=1";
    lab.install_network_rules().unwrap();
    lab.ok("udevadm control --reload; udevadm settle -t 60").unwrap();
    assert_eq!(lab.sh(told).unwrap().text(), "0");
    said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: 3 VFs hidden from network managers\n");
    assert_eq!(lab.ok(told).unwrap().text(), "3");
    said(&lab.sh("runvfctl setup").unwrap(), 0, "pf0: ready: nothing to do\n");

    // A PF with another driver than the pool is for.
    configure(&lab, &(pool("\"pf0\"", 3) + "driver = \"i40e\"\n"));
    let problem = "PF pf0 has the driver igb, and pool `sensors` is for i40e; load that driver, or correct `driver` in ";
    said(&lab.sh("runvfctl setup").unwrap(), 3, problem);
    let refused = run(&lab, Engine::Docker, "--annotation io.runvf.vlan=100", "echo it runs");
    assert_eq!(refused.status, Engine::Docker.refusal(), "{refused}");
    assert!(refused.stderr.contains(problem), "{refused}");

    for other in [2, 5] {
        configure(&lab, &pool("\"pf0\"", other));
        let problem = format!("PF pf0 has 3 VFs and pool `sensors` asks for {other}; ");
        said(&lab.sh("runvfctl setup").unwrap(), 3, &problem);
    }
    assert_eq!(pf0(&lab), (true, true, "3".to_owned()));
}

/// The emulated card has no `vf-true-promisc-support`; it has another flag, which is set in the same way.
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

/// Nobody touches the host after its boot: the unit makes the VFs, then Docker starts its sensor.
#[test]
fn a_sensor_comes_up_by_itself_after_a_boot() {
    let mut lab = installed();
    functions(&lab);
    configure(&lab, &pool("\"pf0\"", 3));
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let unit = "runvf-setup.service";
    lab.push(packaging.join(unit), &format!("/usr/lib/systemd/system/{unit}")).unwrap();
    // What the lab does for its PFs at boot is what is to be done here.
    lab.ok(&format!(
        "sed -i '/ip link set \"pf/d' /usr/local/sbin/lab-ports; systemctl enable {unit}"
    ))
    .unwrap();
    lab.ok(&format!(
        "docker run -d --restart always --name sensor --runtime runvf --annotation io.runvf.vlan=100 {IMAGE} sleep 100000"
    ))
    .unwrap();
    // The image's file system has no journal.
    lab.ok("sync").unwrap();
    lab.reset(Duration::from_secs(600)).unwrap();
    lab.wait_until(Duration::from_secs(300), "docker info").unwrap();

    let running =
        "docker inspect -f '{{.State.Running}} {{.RestartCount}}' sensor | grep -qx 'true 0'";
    let up = lab.wait_until(Duration::from_secs(120), running);
    let log =
        lab.sh(&format!("journalctl -b -u {unit} -u docker; systemctl status {unit}")).unwrap();
    up.unwrap_or_else(|error| panic!("{error}\n{log}"));
    assert_eq!(pf0(&lab), (true, true, "3".to_owned()), "{log}");
    functions(&lab);
    let found = vlans(&lab);
    assert!(matches!(&found[..], [(100, true, _)]), "{found:?}\n{log}");
    lab.ok("nsenter -n -t $(docker inspect -f '{{.State.Pid}}' sensor) ip link show mon0 | grep 'PROMISC.*LOWER_UP'").unwrap();
    lab.ok("docker rm -f sensor").unwrap();
}
