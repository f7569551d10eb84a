//! Proof of the bundles: what a sensor lost is exact, the rules of a tenant can be replaced while the
//! sensor runs, and each of two sensors of a tenant sees all frames.

use std::time::Duration;

use lab::Lab;
use lab::traffic::{Class, Traffic};

use crate::host::{assert_clean, leave, on_vlans, prepared, settle, state};

const TIMEOUT: Duration = Duration::from_secs(90);
const VLAN: u16 = 100;

/// Starts a sensor as its Compose file does: as user 999, on a read-only root.
fn start(lab: &Lab, sensor: &str, options: &str) {
    let run = "docker run -d --runtime runvf --network none --user 999:999 --read-only \
        --cap-drop ALL --cap-add NET_RAW --tmpfs /run:mode=1777 --tmpfs /tmp:mode=1777 \
        --annotation io.runvf.vlan=100 --annotation io.runvf.tenant=acme -e REPORT=/run/tcpdump.report";
    lab.ok(&format!("{run} --name {sensor} {options} runvf/{sensor}")).unwrap();
}

/// Sends `count` frames on the sensor's VLAN, so long that they overflow the buffer of Argus, which
/// has 2 MiB. One more, the end mark, follows.
fn send(lab: &Lab, count: u32) {
    let long = Class::Pattern("x".repeat(1200));
    Traffic::new().send(Some(VLAN), long, count).play(lab, "mirror0").unwrap();
}

/// The number of frames that the sensor lost, as soon as it says that there were `frames`.
fn lost(lab: &Lab, sensor: &str, frames: u32) -> u32 {
    let said = format!(
        "docker exec {sensor} health > /tmp/health; grep -q 'of {frames} since the start' /tmp/health"
    );
    if let Err(error) = lab.wait_until(TIMEOUT, &said) {
        panic!("{error}\n{}", lab.sh(&format!("cat /tmp/health; docker logs {sensor}")).unwrap());
    }
    let lost = "grep -o 'and [0-9]* of' /tmp/health | grep -o '[0-9]*'";
    lab.ok(lost).unwrap().text().parse().unwrap()
}

/// Frames that arrive while a sensor is paused, more than its buffer holds.
fn lost_while_paused(lab: &Lab, sensor: &str, ready: &str, options: &str, count: u32) -> u32 {
    start(lab, sensor, options);
    if let Err(error) = lab.wait_until(TIMEOUT, ready) {
        panic!("{error}\n{}", lab.sh(&format!("docker logs {sensor}")).unwrap());
    }
    lab.ok(&format!("docker pause {sensor}")).unwrap();
    send(lab, count);
    lab.ok(&format!("docker unpause {sensor}")).unwrap();
    let lost = lost(lab, sensor, count + 1);
    let verdict = lab.sh(&format!("docker exec {sensor} health")).unwrap();
    assert_eq!(verdict.status, 0, "nothing was lost since the last check: {verdict}");
    assert!(verdict.stdout.starts_with("lost 0 of "), "{verdict}");
    lost
}

pub(crate) fn tcpdump_says_exactly_what_it_lost() {
    let lab = prepared();
    let before = state(&lab);
    let listening = "docker exec tcpdump grep -q listening /run/tcpdump.report";
    let small = lost_while_paused(&lab, "tcpdump", listening, "-e BUFFER_KIB=1024", 3000);
    let captured =
        "docker exec tcpdump cat /var/log/sensor/mon0.pcap | tcpdump -nn -r - 2> /dev/null | wc -l";
    let captured: u32 = lab.ok(captured).unwrap().text().parse().unwrap();
    assert!(small > 0 && captured + small == 3001, "{captured} + {small}");
    lab.ok("docker rm -f tcpdump").unwrap();
    // The buffer of the Compose file.
    assert_eq!(lost_while_paused(&lab, "tcpdump", listening, "-e BUFFER_KIB=65536", 3000), 0);
    lab.ok("docker rm -f tcpdump").unwrap();
    leave(lab, &before);
}

pub(crate) fn suricata_says_exactly_what_it_lost_and_names_the_tenant() {
    let lab = prepared();
    let before = state(&lab);
    let started = "docker logs suricata 2>&1 | grep -q 'Engine started'";
    let small = lost_while_paused(&lab, "suricata", started, "-e RING_FRAMES=512", 3000);
    assert!(small > 0 && small < 3001, "{small}");
    lab.ok("docker rm -f suricata").unwrap();
    assert_eq!(lost_while_paused(&lab, "suricata", started, "-e RING_FRAMES=32768", 3000), 0);

    let attack = |text: &str| {
        let class = Class::Pattern(text.to_owned());
        Traffic::new().send(Some(VLAN), class, 5).play(&lab, "mirror0").unwrap();
    };
    attack("runvf-evil");
    let alerts = "docker exec suricata cat /var/log/suricata/eve.json | grep '\"alert\"' | grep -c 'acme/vlan100'";
    lab.wait_until(TIMEOUT, &format!("[ \"$({alerts})\" = 5 ]")).unwrap();
    lab.ok("docker rm -f suricata").unwrap();
    leave(lab, &before);
}

pub(crate) fn argus_says_exactly_what_it_lost() {
    let lab = prepared();
    let before = state(&lab);
    let record = "docker exec argus health";
    let lost = lost_while_paused(&lab, "argus", record, "", 3000);
    let flows = "docker exec argus ra -n -r /var/log/argus/argus.out -s srcid,pkts -c , - not man";
    let counted = format!("{flows} | grep ^100, | cut -d, -f2 | jq -s add");
    let counted: u32 = lab.ok(&counted).unwrap().text().parse().unwrap();
    assert!(lost > 0 && counted + lost == 3001, "{counted} + {lost} of VLAN 100");
    let stopped = lab.ok("docker stop argus; docker inspect -f '{{.State.ExitCode}}' argus");
    assert!(stopped.unwrap().stdout.ends_with("0\n"));
    lab.ok("docker rm argus").unwrap();
    // The buffer of Argus cannot be changed: it holds these frames.
    assert_eq!(lost_while_paused(&lab, "argus", record, "", 500), 0);
    lab.ok("docker rm -f argus").unwrap();
    leave(lab, &before);
}

pub(crate) fn rules_are_replaced_without_losing_the_vf() {
    let lab = prepared();
    let before = state(&lab);
    let rule = |text: &str| {
        format!(
            "alert udp any any -> any any (msg:\"of acme\"; content:\"{text}\"; sid:1; rev:1;)\n"
        )
    };
    lab.write("/tmp/rules/acme.rules", rule("runvf-first")).unwrap();
    let options = "-v /tmp/rules/acme.rules:/etc/suricata/rules/local.rules:ro";
    start(&lab, "suricata", options);
    lab.wait_until(TIMEOUT, "docker logs suricata 2>&1 | grep -q 'Engine started'").unwrap();
    let claim = lab.ok("cat /run/runvf/claims/*").unwrap().stdout;
    // In place, because the file is a bind mount.
    lab.ok(&format!("cat > /tmp/rules/acme.rules <<'END'\n{}END", rule("runvf-second"))).unwrap();
    lab.ok("docker kill -s USR2 suricata").unwrap();
    lab.wait_until(TIMEOUT, "docker logs suricata 2>&1 | grep -q 'rule reload complete'").unwrap();
    for text in ["runvf-first", "runvf-second"] {
        let class = Class::Pattern(text.to_owned());
        Traffic::new().send(Some(VLAN), class, 5).play(&lab, "mirror0").unwrap();
    }
    let alerts = "docker exec suricata grep -c 'of acme' /var/log/suricata/fast.log";
    lab.wait_until(TIMEOUT, &format!("[ \"$({alerts})\" = 5 ]")).unwrap();
    assert_eq!(lab.ok("cat /run/runvf/claims/*").unwrap().stdout, claim);
    lab.ok("docker rm -f suricata").unwrap();
    leave(lab, &before);
}

pub(crate) fn a_full_log_volume_is_unhealthy_and_a_restart_gets_a_vf_again() {
    let lab = prepared();
    let before = state(&lab);
    let volume =
        "--mount type=tmpfs,dst=/var/log/sensor,tmpfs-size=1m,tmpfs-mode=1777 --restart always";
    start(&lab, "tcpdump", volume);
    lab.wait_until(TIMEOUT, "docker exec tcpdump grep -q listening /run/tcpdump.report").unwrap();
    let said = "docker exec tcpdump health | grep -q 'the volume of /var/log/sensor is full'";
    lab.wait_until(TIMEOUT, said).unwrap();
    lab.ok("docker restart tcpdump").unwrap();
    let back = "docker exec tcpdump cat /sys/class/net/mon0/carrier | grep -q 1";
    lab.wait_until(TIMEOUT, back).unwrap();
    lab.ok("docker rm -f tcpdump").unwrap();
    leave(lab, &before);
}

/// One file starts all sensors of a tenant, each with a VF of its own, and they come back after a
/// restart.
pub(crate) fn the_sensors_of_a_tenant_start_by_one_compose_file() {
    let lab = prepared();
    let before = state(&lab);
    let compose = "docker-compose -p acme -f /tmp/tenant/compose.yaml";
    let files = [
        ("compose.yaml", include_str!("../../bundles/tenant/compose.yaml")),
        ("acme.rules", include_str!("../../bundles/tenant/acme.rules")),
        ("acme.zeek", include_str!("../../bundles/tenant/acme.zeek")),
    ];
    for (name, text) in files {
        lab.write(&format!("/tmp/tenant/{name}"), text).unwrap();
    }
    for command in ["up -d --quiet-pull", "restart -t 10"] {
        lab.ok_within(TIMEOUT, &format!("{compose} {command}")).unwrap();
        for sensor in ["suricata", "argus"] {
            lab.wait_until(TIMEOUT, &format!("{compose} exec -T {sensor} health")).unwrap();
        }
        assert_eq!(on_vlans(&lab, "pf0"), [(100, true), (100, true)], "{command}");
    }
    send(&lab, 100);
    for sensor in ["suricata", "argus"] {
        assert_eq!(lost(&lab, &format!("acme-{sensor}-1"), 101), 0, "{sensor}");
    }
    lab.ok_within(TIMEOUT, &format!("{compose} down -v -t 10")).unwrap();
    leave(lab, &before);
}

/// bundles/README.md, "Without an engine".
pub(crate) fn the_sensors_run_as_oci_bundles_and_lose_nothing() {
    let lab = prepared();
    let before = state(&lab);
    for sensor in ["suricata", "argus"] {
        let bundle = format!("/var/lib/runvf-bundles/{sensor}");
        lab.ok(&format!("runvf create --bundle {bundle} {sensor} < /dev/null > /tmp/log 2>&1; runvf start {sensor}"))
            .unwrap();
        let timeout = Duration::from_secs(120);
        lab.wait_until(timeout, &format!("runvf exec {sensor} health")).unwrap();
        Traffic::new().send(Some(100), Class::Broadcast, 99).play(&lab, "mirror0").unwrap();
        let counted =
            format!("runvf exec {sensor} health | grep ', and 0 of 100 frames since the start'");
        let counted = lab.wait_until(timeout, &counted);
        counted.unwrap_or_else(|error| panic!("{error}\n{}", lab.sh("cat /tmp/log").unwrap()));
        lab.ok(&format!("runvf delete --force {sensor}; rm -rf /var/log/runvf/{sensor}/*"))
            .unwrap();
        settle(&lab, 3);
        assert_clean(&lab, 0, "enp1s0v0");
    }
    leave(lab, &before);
}
