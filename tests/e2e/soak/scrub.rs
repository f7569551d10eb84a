//! More of the scrub: the other engines, a driver that hangs, and network managers.

use std::time::Duration;

use lab::HostKind;

use crate::card::Card;
use crate::engine::{Engine, run, start};
use crate::host::{assert_clean, leave, on_vlans, prepared, prepared_on, settle, state};
use crate::scrub::{
    a_vf_returns_with_its_former_settings, a_vf_that_cannot_be_cleaned_is_quarantined,
};

pub(crate) fn a_vf_returns_with_its_former_settings_under_docker_and_podman_with_runvf(
    host: HostKind,
) {
    a_vf_returns_with_its_former_settings(host, &[Engine::Docker, Engine::PodmanRuntime]);
}

pub(crate) fn a_vf_that_cannot_be_cleaned_is_quarantined_until_repair_under_podman(host: HostKind) {
    a_vf_that_cannot_be_cleaned_is_quarantined(host, &[Engine::PodmanHooks, Engine::PodmanRuntime]);
}

/// No process reads the file through which the driver is asked to unbind the VF, so the write
/// hangs. The process that waits keeps the lock of the VF, and on the 82576 that of the PF. It asks
/// the driver for nothing more; but no engine waits for it.
pub(crate) fn a_hanging_driver_does_not_block_the_engine(host: HostKind) {
    let lab = prepared_on(host);
    let card = Card::of(&lab);
    let before = state(&lab);
    let unbind = format!("/sys/bus/pci/drivers/{}/unbind", card.vf_driver);
    let lock = format!("flock -n /run/runvf/locks/{}.lock true", card.vf(0));
    lab.ok("mkfifo /tmp/hangs").unwrap();
    for engine in [Engine::Docker, Engine::PodmanHooks] {
        start(&lab, engine, "sensor", "--annotation io.runvf.vlan=100");
        lab.ok(&format!("mount --bind /tmp/hangs {unbind}")).unwrap();
        lab.ok(&format!("timeout 100 {} rm -f sensor", engine.program())).unwrap();
        assert_eq!(lab.ok(&format!("{} ps -aq", engine.program())).unwrap().text(), "");
        // Docker does not wait for the release.
        lab.wait_until(Duration::from_secs(60), "timeout 10 runvfctl status | grep quarantined")
            .unwrap();
        let shown = || lab.json("timeout 10 runvfctl status --json").unwrap()[0]["vfs"][0].clone();
        let quarantined = shown();
        let reason = quarantined["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("writing {unbind} ")), "{engine:?}: {quarantined}");
        assert_eq!(on_vlans(&lab, "pf0"), [(100, true)], "the driver was asked for nothing more");
        lab.ok(&format!("! {lock}")).unwrap();
        let lock_of_pf = "flock -n /run/runvf/locks/0000:01:00.0.lock true";
        match card.parks {
            // The PF is free for its other VFs, once the release has ended.
            true => lab.wait_until(Duration::from_secs(20), lock_of_pf).unwrap(),
            false => lab.ok(&format!("! {lock_of_pf}")).unwrap(),
        };

        lab.ok(&format!("timeout 20 cat /tmp/hangs > /tmp/written; umount {unbind}")).unwrap();
        assert_eq!(lab.ok("cat /tmp/written").unwrap().text(), card.vf(0));
        lab.wait_until(Duration::from_secs(20), &lock).unwrap();
        lab.ok("runvfctl gc").unwrap();
        assert_eq!(on_vlans(&lab, "pf0"), []);
        assert_eq!(shown()["state"], "quarantined", "{engine:?}");
        lab.ok(&format!("runvfctl repair {}", card.vf(0))).unwrap();
        settle(&lab, 3);
        assert_clean(&lab, 0, "enp1s0v0");
    }
    leave(lab, &before);
}

/// udev, systemd-networkd and NetworkManager ignore the VFs of configured PFs, and manage all
/// others.
#[test]
fn network_managers_ignore_configured_vfs() {
    let lab = prepared();
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
    lab.install_network_rules().unwrap();
    // An operator's file that matches every VF.
    let all = "[Match]\nDriver=igbvf\n[Network]\nLinkLocalAddressing=ipv6\n";
    lab.write("/etc/systemd/network/90-all.network", all).unwrap();
    lab.ok("udevadm control --reload; systemctl start systemd-networkd").unwrap();
    lab.ok("for pf in pf0 pf1; do echo 2 > /sys/class/net/$pf/device/sriov_numvfs; done").unwrap();
    lab.wait_until(
        Duration::from_secs(20),
        "[ $(ls -d /sys/class/net/pf[01]/device/virtfn*/net/* | wc -l) = 4 ]",
    )
    .unwrap();
    let properties = |pf: &str| {
        let script = format!(
            "udevadm settle; udevadm info -q property -p /sys/class/net/$(ls /sys/class/net/{pf}/device/virtfn0/net)"
        );
        lab.ok(&script).unwrap().stdout
    };
    let managed_by_runvf = properties("pf0");
    for property in
        ["RUNVF_VF=1", "NM_UNMANAGED=1", "ID_NET_LINK_FILE=/usr/lib/systemd/network/00-runvf.link"]
    {
        assert!(managed_by_runvf.contains(property), "{property} in {managed_by_runvf}");
    }
    let name = lab.ok("ls /sys/class/net/pf0/device/virtfn0/net").unwrap();
    assert!(name.text().starts_with("eth"), "the kernel's name: {name}");
    let foreign = properties("pf1");
    assert!(!foreign.contains("RUNVF") && !foreign.contains("NM_UNMANAGED"), "{foreign}");
    let managed = |name: &str, how: &str| {
        let shown = format!("networkctl status --no-pager {name} | grep -q '{how}'");
        lab.wait_until(Duration::from_secs(20), &shown).unwrap();
    };
    managed("$(ls /sys/class/net/pf1/device/virtfn0/net)", "Network File: .*/90-all.network");
    managed(name.text(), "State: off (unmanaged)");

    let output = run(
        &lab,
        Engine::Docker,
        "--annotation io.runvf.vlan=5",
        "cat /sys/class/net/mon0/carrier",
    );
    assert_eq!(output.text(), "1", "{output}");
    assert_eq!(lab.ok("ls /sys/class/net/pf0/device/virtfn0/net").unwrap().text(), name.text());
    assert_clean(&lab, 0, name.text());
}

mod on_the_82576 {
    use crate::card::{I82576, tests_on};

    tests_on!(I82576, super:
        a_vf_returns_with_its_former_settings_under_docker_and_podman_with_runvf,
    );
}
