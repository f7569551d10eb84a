//! Proof of the scrub: a released VF has its former settings again, item by item. A VF that cannot
//! be cleaned is quarantined until repair.

use std::time::Duration;

use lab::{HostKind, Lab};
use serde_json::Value;

use crate::card::Card;
use crate::engine::{Engine, run, start};
use crate::host::{assert_clean, leave, prepared_on, settle, state, vf};

/// The netdev of VF 0, its settings on the PF, and its offloads; without the carrier and without
/// what each bind of the driver changes.
fn settings(lab: &Lab) -> (Value, Value, String) {
    let mut link = lab.json("ip -j -d link show enp1s0v0").unwrap()[0].clone();
    let mut of_pf = vf(lab, "pf0", 0);
    let fields = link.as_object_mut().unwrap();
    // A new netdev has a new index and, unless the PF assigns one, a new address; and alternative
    // names that hold it.
    for field in ["ifindex", "address", "altnames", "permaddr"] {
        fields.remove(field);
    }
    of_pf.as_object_mut().unwrap().remove("address");
    let offloads = lab.ok("ethtool -k enp1s0v0").unwrap().stdout;
    (link, of_pf, offloads)
}

/// After the release, an operator's settings of the free VF are back, and nothing is left of what a
/// container with CAP_NET_ADMIN did.
pub(crate) fn a_vf_returns_with_its_former_settings(host: HostKind, engines: &[Engine]) {
    let lab = prepared_on(host);
    let untouched = state(&lab);
    lab.ok(
        "ip link set enp1s0v0 alias 'rack 3' txqueuelen 500 mtu 1450; ethtool -K enp1s0v0 tso off",
    )
    .unwrap();
    lab.ok("ip link set pf0 vf 0 max_tx_rate 100 spoofchk off").unwrap();
    let before = settings(&lab);
    assert_eq!((&before.0["ifalias"], &before.0["txqlen"]), (&"rack 3".into(), &500.into()));
    assert_eq!((&before.1["rate"]["max_tx"], &before.1["spoofchk"]), (&100.into(), &false.into()));
    for &engine in engines {
        let change = include_str!("scripts/change_all_of_vf.sh");
        let output =
            run(&lab, engine, "--cap-add NET_ADMIN --annotation io.runvf.vlan=100", change);
        assert_eq!(output.status, 0, "{engine:?}: {output}");
        // `docker run` may return before the runtime has deleted the container.
        let released = "[ -z \"$(ls -A /run/runvf/claims)\" ]";
        lab.wait_until(Duration::from_secs(20), released).unwrap();
        settle(&lab, 3);
        assert_clean(&lab, 0, "enp1s0v0");
        assert_eq!(settings(&lab), before, "{engine:?}");
        lab.ok("! ip link show | grep -E 'evil|02:66:66'").unwrap();
    }
    lab.ok("ip link set pf0 vf 0 max_tx_rate 0 spoofchk on").unwrap();
    for count in [0, 3] {
        lab.ok(&format!("echo {count} > /sys/class/net/pf0/device/sriov_numvfs")).unwrap();
    }
    settle(&lab, 3);
    leave(lab, &untouched);
}

pub(crate) fn a_vf_returns_with_its_former_settings_under_podman_with_hooks(host: HostKind) {
    a_vf_returns_with_its_former_settings(host, &[Engine::PodmanHooks]);
}

/// Programs and queueing disciplines end with the netdev, also when the VF is released from a
/// running container.
pub(crate) fn programs_and_queues_of_a_container_are_removed(host: HostKind) {
    let lab = prepared_on(host);
    let vf = Card::of(&lab).vf(0);
    let queues = "tc qdisc show dev enp1s0v0; ip -d link show enp1s0v0 | grep -c xdp";
    let untouched = state(&lab);
    let before = lab.sh(queues).unwrap().stdout;
    start(&lab, Engine::PodmanHooks, "sensor", "--annotation io.runvf.vlan=100");
    let inside = "nsenter -n -t $(podman inspect -f '{{.State.Pid}}' sensor)";
    lab.write("/tmp/xdp.pl", include_str!("scripts/xdp.pl")).unwrap();
    lab.ok(include_str!("scripts/programs_and_queues.sh")).unwrap();

    let refused = lab.sh(&format!("runvfctl release {vf}")).unwrap();
    assert!(
        refused.status == 3 && refused.stdout.contains("its container is still running"),
        "{refused}"
    );
    lab.ok(&format!("{inside} ip link show mon0")).unwrap();
    let released = lab.json(&format!("runvfctl release --force --json {vf}")).unwrap();
    let one = &released[0];
    assert_eq!((&one["vf"], &one["outcome"]), (&vf.into(), &"clean".into()), "{one}");
    settle(&lab, 3);
    assert_clean(&lab, 0, "enp1s0v0");
    assert_eq!(lab.sh(queues).unwrap().stdout, before);
    lab.ok(&format!("podman rm -f -t 0 sensor; ! {inside} ip link show mon0")).unwrap();
    leave(lab, &untouched);
}

/// The VF has no netdev, because its driver does not bind it again, so the scrub cannot verify that
/// it is clean.
pub(crate) fn a_vf_that_cannot_be_cleaned_is_quarantined(host: HostKind, engines: &[Engine]) {
    let lab = prepared_on(host);
    let card = Card::of(&lab);
    let driver_override = format!("/sys/bus/pci/devices/{}/driver_override", card.vf(0));
    let before = state(&lab);
    for &engine in engines {
        start(&lab, engine, "sensor", "--annotation io.runvf.vlan=100");
        lab.ok(&format!("echo none > {driver_override}")).unwrap();
        lab.ok(&format!("{} rm -f sensor", engine.program())).unwrap();
        // The container is gone all the same.
        assert_eq!(lab.ok(&format!("{} ps -aq", engine.program())).unwrap().text(), "");

        let status = lab.json("runvfctl status --json").unwrap();
        let shown = &status[0]["vfs"][0];
        assert_eq!(shown["state"], "quarantined", "{engine:?}: {shown}");
        let reason = shown["reason"].as_str().unwrap();
        assert!(reason.contains("did not create a netdev"), "{shown}");
        assert!(reason.contains("its driver_override is `none`"), "{shown}");
        // A release removes no override that an operator has set.
        lab.ok(&format!("grep -qx none {driver_override}")).unwrap();
        let quarantined = vf(&lab, "pf0", 0);
        assert_eq!(quarantined["vlan_list"][0].get("vlan"), None, "{quarantined}");
        assert_eq!(quarantined["trust"], false, "{quarantined}");

        // As if the kernel had hung while the VF was disarmed.
        lab.ok("ip link set pf0 vf 0 vlan 100; ip link set pf0 vf 0 trust on; runvfctl gc")
            .unwrap();
        let disarmed = vf(&lab, "pf0", 0);
        assert_eq!(disarmed["vlan_list"][0].get("vlan"), None, "{disarmed}");
        assert_eq!(disarmed["trust"], false, "{disarmed}");

        lab.ok(&format!("echo > {driver_override}; runvfctl gc")).unwrap();
        let output = run(
            &lab,
            Engine::PodmanHooks,
            "--annotation io.runvf.vlan=200",
            "cat /sys/class/net/mon0/device/uevent",
        );
        assert!(output.stdout.contains(&card.vf(1)), "another VF is attached: {output}");

        // A missing VF does not prevent the repair of the other one.
        let both = format!("runvfctl repair 0000:01:1f.0 {} --json || [ $? = 3 ]", card.vf(0));
        let repaired = lab.json(&both).unwrap();
        assert_eq!(repaired[0]["outcome"], "left", "{repaired}");
        assert_eq!(repaired[1]["outcome"], "clean", "{repaired}");
        settle(&lab, 3);
        assert_clean(&lab, 0, "enp1s0v0");
    }
    leave(lab, &before);
}

pub(crate) fn a_vf_that_cannot_be_cleaned_is_quarantined_until_repair_under_docker(host: HostKind) {
    a_vf_that_cannot_be_cleaned_is_quarantined(host, &[Engine::Docker]);
}

/// The settings vanished with the VF; only its claim is left to be repaired.
pub(crate) fn repair_forgets_a_quarantined_vf_that_vanished(host: HostKind) {
    let lab = prepared_on(host);
    let vf = Card::of(&lab).vf(0);
    start(&lab, Engine::PodmanHooks, "sensor", "--annotation io.runvf.vlan=100");
    lab.ok(&format!("echo none > /sys/bus/pci/devices/{vf}/driver_override; podman rm -f sensor"))
        .unwrap();
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_numvfs; runvfctl status | grep quarantined")
        .unwrap();
    let repaired = lab.json("runvfctl repair --json").unwrap();
    assert_eq!(repaired[0]["outcome"], "clean", "{repaired}");
    lab.ok(&format!("test -z \"$(ls -A /run/runvf/claims)\"; runvfctl repair {vf} 2>&1 | grep 'does not exist' || test $? = 1")).unwrap();
}

mod on_the_x710 {
    use crate::card::{X710, tests_on};

    tests_on!(X710, super:
        a_vf_returns_with_its_former_settings_under_podman_with_hooks,
        programs_and_queues_of_a_container_are_removed,
        a_vf_that_cannot_be_cleaned_is_quarantined_until_repair_under_docker,
        repair_forgets_a_quarantined_vf_that_vanished,
    );
}
