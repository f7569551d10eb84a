//! A VF that comes back is as it was before, item by item; one that is not is kept out of use until it is repaired.

use std::time::Duration;

use lab::Lab;
use serde_json::Value;

use crate::engine::{ALL, Engine, run, start};
use crate::host::{assert_clean, leave, on_vlans, prepared, settle, state, vf};

/// The netdev and the PF's side of VF 0, without what is the wire's or chosen anew at each bind.
fn look(lab: &Lab) -> (Value, Value, String) {
    let mut link = lab.json("ip -j -d link show enp1s0v0").unwrap()[0].clone();
    let mut of_pf = vf(lab, "pf0", 0);
    let fields = link.as_object_mut().unwrap();
    // A new netdev has a new index and, unless the PF assigns one, a new address; and alternative names that hold it.
    for field in ["ifindex", "address", "altnames", "permaddr"] {
        fields.remove(field);
    }
    of_pf.as_object_mut().unwrap().remove("address");
    let offloads = lab.ok("ethtool -k enp1s0v0").unwrap().stdout;
    (link, of_pf, offloads)
}

/// What an operator set on a free VF is there again, and nothing that a container with CAP_NET_ADMIN did. That gives it names and an alias
/// which are no UTF-8, as the kernel allows.
#[test]
fn every_item_is_as_it_was_before() {
    let lab = prepared();
    let untouched = state(&lab);
    lab.ok("ip link set enp1s0v0 alias 'rack 3' txqueuelen 500 mtu 1450
         ethtool -K enp1s0v0 tso off
         ip link set pf0 vf 0 max_tx_rate 100 spoofchk off")
        .unwrap();
    let before = look(&lab);
    assert_eq!((&before.0["ifalias"], &before.0["txqlen"]), (&"rack 3".into(), &500.into()));
    assert_eq!((&before.1["rate"]["max_tx"], &before.1["spoofchk"]), (&100.into(), &false.into()));
    for engine in ALL {
        let mess = "ip link set mon0 down && ip link set mon0 name evil0 address 02:66:66:66:66:66 mtu 1300 txqueuelen 7 alias \"$(printf \"\\377\")\" \
            && ip link property add dev evil0 altname evil-altname && ip link property add dev evil0 altname \"$(printf \"e\\377\")\" && ip link set evil0 up promisc on allmulticast on \
            && ip link add link evil0 name evil0.5 type vlan id 5 && ip addr add 10.9.9.9/24 dev evil0 && ip link show evil0 | grep -q 1300";
        let output = run(&lab, engine, "--cap-add NET_ADMIN --annotation io.runvf.vlan=100", mess);
        assert_eq!(output.status, 0, "{engine:?}: {output}");
        // `docker run` may return before the runtime has deleted the container.
        let released = "[ -z \"$(ls -A /run/runvf/claims)\" ]";
        lab.wait_until(Duration::from_secs(20), released).unwrap();
        settle(&lab, 3);
        assert_clean(&lab, 0, "enp1s0v0");
        assert_eq!(look(&lab), before, "{engine:?}");
        lab.ok("! ip link show | grep -E 'evil|02:66:66'").unwrap();
    }
    lab.ok("ip link set pf0 vf 0 max_tx_rate 0 spoofchk on; echo 0 > /sys/class/net/pf0/device/sriov_numvfs
            echo 3 > /sys/class/net/pf0/device/sriov_numvfs")
        .unwrap();
    settle(&lab, 3);
    leave(lab, &untouched);
}

/// An XDP program that passes everything, kept at a path.
const XDP: &str = r#"perl -e '
    sub address { unpack("Q", pack("P", $_[0])) }
    my ($code, $license, $path) = (pack("CCsl" x 2, 0xb7, 0, 0, 2, 0x95, 0, 0, 0), "GPL\0", "/sys/fs/bpf/pass\0");
    my $load = pack("LLQQLLQLL", 6, 2, address($code), address($license), (0) x 5);
    my $fd = syscall(321, 5, $load, length $load);
    my $pin = pack("QLL", address($path), $fd, 0);
    $fd >= 0 && syscall(321, 6, $pin, length $pin) == 0 or die $!'"#;

/// Programs and queueing disciplines go with the netdev that they are on, also when the VF is taken from a container that runs.
#[test]
fn programs_and_queues_of_a_container_go_with_it() {
    let lab = prepared();
    let queues = "tc qdisc show dev enp1s0v0; ip -d link show enp1s0v0 | grep -c xdp";
    let untouched = state(&lab);
    let before = lab.sh(queues).unwrap().stdout;
    start(&lab, Engine::PodmanHooks, "sensor", "--annotation io.runvf.vlan=100");
    let inside = "nsenter -n -t $(podman inspect -f '{{.State.Pid}}' sensor)";
    lab.ok(&format!(
        "{XDP}; {inside} ip link set mon0 xdpgeneric pinned /sys/fs/bpf/pass
         {inside} tc qdisc replace dev mon0 root pfifo limit 7; {inside} tc qdisc add dev mon0 clsact
         {inside} tc filter add dev mon0 ingress matchall action drop; rm /sys/fs/bpf/pass
         {inside} ip -d link show mon0 | grep -c xdpgeneric; {inside} tc qdisc show dev mon0 | grep -c 'limit 7p'"
    ))
    .unwrap();

    let refused = lab.sh("runvfctl release 0000:01:10.0").unwrap();
    assert!(refused.status == 3 && refused.stdout.contains("its container is still running"), "{refused}");
    lab.ok(&format!("{inside} ip link show mon0")).unwrap();
    let released = lab.json("runvfctl release --force --json 0000:01:10.0").unwrap();
    let one = &released[0];
    assert_eq!((&one["vf"], &one["outcome"]), (&"0000:01:10.0".into(), &"clean".into()), "{one}");
    settle(&lab, 3);
    assert_clean(&lab, 0, "enp1s0v0");
    assert_eq!(lab.sh(queues).unwrap().stdout, before);
    lab.ok(&format!("podman rm -f -t 0 sensor; ! {inside} ip link show mon0")).unwrap();
    leave(lab, &untouched);
}

/// Its driver does not take the VF back, so it cannot be known clean.
#[test]
fn what_cannot_be_cleaned_is_kept_out_of_use_until_it_is_repaired() {
    let lab = prepared();
    let before = state(&lab);
    for engine in ALL {
        start(&lab, engine, "sensor", "--annotation io.runvf.vlan=100");
        lab.ok("echo nobody > /sys/bus/pci/devices/0000:01:10.0/driver_override").unwrap();
        lab.ok(&format!("{} rm -f sensor", engine.program())).unwrap();
        // The container is gone all the same.
        assert_eq!(lab.ok(&format!("{} ps -aq", engine.program())).unwrap().text(), "");

        let status = lab.json("runvfctl status --json").unwrap();
        let shown = &status[0]["vfs"][0];
        assert_eq!(shown["state"], "quarantined", "{engine:?}: {shown}");
        assert!(shown["reason"].as_str().unwrap().contains("no network interface"), "{shown}");
        let quarantined = vf(&lab, "pf0", 0);
        assert_eq!(quarantined["vlan_list"][0].get("vlan"), None, "{quarantined}");
        assert_eq!(quarantined["trust"], false, "{quarantined}");

        // As if the kernel had hung when it was to be disarmed.
        lab.ok("ip link set pf0 vf 0 vlan 100; ip link set pf0 vf 0 trust on; runvfctl gc")
            .unwrap();
        let disarmed = vf(&lab, "pf0", 0);
        assert_eq!(disarmed["vlan_list"][0].get("vlan"), None, "{disarmed}");
        assert_eq!(disarmed["trust"], false, "{disarmed}");

        lab.ok("echo > /sys/bus/pci/devices/0000:01:10.0/driver_override; runvfctl gc").unwrap();
        let output = run(
            &lab,
            Engine::PodmanHooks,
            "--annotation io.runvf.vlan=200",
            "cat /sys/class/net/mon0/device/uevent",
        );
        assert!(output.stdout.contains("0000:01:10.2"), "the next VF, and not this one: {output}");

        // One that is not there does not keep the other from it.
        let both = "runvfctl repair 0000:01:1f.0 0000:01:10.0 --json || [ $? = 3 ]";
        let repaired = lab.json(both).unwrap();
        assert_eq!(repaired[0]["outcome"], "left", "{repaired}");
        assert_eq!(repaired[1]["outcome"], "clean", "{repaired}");
        settle(&lab, 3);
        assert_clean(&lab, 0, "enp1s0v0");
    }
    leave(lab, &before);
}

/// Nobody reads the file by which the driver is asked to leave the VF. Nothing more is asked of it then, and whoever waits for it keeps
/// the PF's lock; but no engine waits.
#[test]
fn a_driver_that_hangs_keeps_no_container() {
    let lab = prepared();
    let before = state(&lab);
    let unbind = "/sys/bus/pci/drivers/igbvf/unbind";
    let lock = "flock -n /run/runvf/locks/0000:01:00.0.lock true";
    lab.ok("mkfifo /tmp/hangs").unwrap();
    for engine in [Engine::Docker, Engine::PodmanHooks] {
        start(&lab, engine, "sensor", "--annotation io.runvf.vlan=100");
        lab.ok(&format!("mount --bind /tmp/hangs {unbind}")).unwrap();
        lab.ok(&format!("timeout 100 {} rm -f sensor", engine.program())).unwrap();
        assert_eq!(lab.ok(&format!("{} ps -aq", engine.program())).unwrap().text(), "");
        // Docker has not waited for it.
        lab.wait_until(Duration::from_secs(60), "timeout 10 runvfctl status | grep quarantined")
            .unwrap();
        let shown = || lab.json("timeout 10 runvfctl status --json").unwrap()[0]["vfs"][0].clone();
        let quarantined = shown();
        let reason = quarantined["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("writing {unbind} ")), "{engine:?}: {quarantined}");
        assert_eq!(on_vlans(&lab, "pf0"), [(100, true)], "nothing more was asked of the driver");
        lab.ok(&format!("! {lock}")).unwrap();

        lab.ok(&format!("timeout 20 cat /tmp/hangs > /tmp/written; umount {unbind}")).unwrap();
        assert_eq!(lab.ok("cat /tmp/written").unwrap().text(), "0000:01:10.0");
        lab.wait_until(Duration::from_secs(20), lock).unwrap();
        lab.ok("runvfctl gc").unwrap();
        assert_eq!(on_vlans(&lab, "pf0"), []);
        assert_eq!(shown()["state"], "quarantined", "{engine:?}");
        lab.ok("runvfctl repair 0000:01:10.0").unwrap();
        settle(&lab, 3);
        assert_clean(&lab, 0, "enp1s0v0");
    }
    leave(lab, &before);
}

/// With the VF goes all that was set on it; what is left to repair is its claim.
#[test]
fn a_vf_in_quarantine_that_vanished_is_forgotten_by_a_repair() {
    let lab = prepared();
    start(&lab, Engine::PodmanHooks, "sensor", "--annotation io.runvf.vlan=100");
    lab.ok("echo nobody > /sys/bus/pci/devices/0000:01:10.0/driver_override; podman rm -f sensor
            echo 0 > /sys/class/net/pf0/device/sriov_numvfs; runvfctl status | grep quarantined")
        .unwrap();
    let repaired = lab.json("runvfctl repair --json").unwrap();
    assert_eq!(repaired[0]["outcome"], "clean", "{repaired}");
    lab.ok("test -z \"$(ls -A /run/runvf/claims)\"; runvfctl repair 0000:01:10.0 2>&1 | grep 'there is no VF' || test $? = 1").unwrap();
}

/// udev, systemd-networkd and NetworkManager are told to leave the VFs of configured PFs alone, and no others.
#[test]
fn network_managers_are_kept_off_configured_vfs() {
    let lab = prepared();
    lab.ok("echo 0 > /sys/class/net/pf0/device/sriov_numvfs").unwrap();
    lab.install_network_rules().unwrap();
    // An operator's who wants all that comes.
    let all = "[Match]\nDriver=igbvf\n[Network]\nLinkLocalAddressing=ipv6\n";
    lab.write("/etc/systemd/network/90-all.network", all).unwrap();
    lab.ok("udevadm control --reload; systemctl start systemd-networkd
         echo 2 > /sys/class/net/pf0/device/sriov_numvfs
         echo 2 > /sys/class/net/pf1/device/sriov_numvfs")
        .unwrap();
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
    let ours = properties("pf0");
    for property in
        ["RUNVF_VF=1", "NM_UNMANAGED=1", "ID_NET_LINK_FILE=/usr/lib/systemd/network/00-runvf.link"]
    {
        assert!(ours.contains(property), "{property} in {ours}");
    }
    let name = lab.ok("ls /sys/class/net/pf0/device/virtfn0/net").unwrap();
    assert!(name.text().starts_with("eth"), "the kernel's name: {name}");
    let theirs = properties("pf1");
    assert!(!theirs.contains("RUNVF") && !theirs.contains("NM_UNMANAGED"), "{theirs}");
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
