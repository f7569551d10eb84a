//! CDI devices: Compose, quadlets, restarts, and the unit that follows the configuration.
//! `soak::doors` kills the hook.

use std::time::Duration;

use crate::cdi::{POOL, RUN, leave_with_devices, seen, wait_for_release, with_devices};
use crate::engine::IMAGE;
use crate::host::{Preparation, assert_clean, configure, leave_as, on_vlans};
use crate::pods::assert_sensor;

const SETTLED: Duration = Duration::from_secs(60);
const COMPOSE: &str = include_str!("../../../docs/examples/compose-cdi.yaml");
const QUADLET: &str = include_str!("../../../docs/examples/acme-cdi.container");

#[test]
fn compose_and_quadlets_start_a_sensor_with_a_device() {
    let (lab, before) = with_devices(POOL);
    lab.write("/tmp/compose/compose.yaml", COMPOSE).unwrap();
    lab.ok("docker-compose -f /tmp/compose/compose.yaml up -d --quiet-pull").unwrap();
    assert_sensor(&lab, "docker-compose -f /tmp/compose/compose.yaml exec -T acme");
    lab.ok("docker-compose -f /tmp/compose/compose.yaml restart -t 5").unwrap();
    assert_sensor(&lab, "docker-compose -f /tmp/compose/compose.yaml exec -T acme");
    lab.ok("docker-compose -f /tmp/compose/compose.yaml down -t 5").unwrap();
    wait_for_release(&lab);
    assert_clean(&lab, 0, "enp1s0v0");

    lab.write("/etc/containers/systemd/acme.container", QUADLET).unwrap();
    lab.ok("systemctl daemon-reload; systemctl start acme").unwrap();
    assert_sensor(&lab, "podman exec acme");
    lab.ok(
        "systemctl stop acme; rm /etc/containers/systemd/acme.container; systemctl daemon-reload; \
        rm -r /var/log/runvf/acme",
    )
    .unwrap();
    wait_for_release(&lab);
    assert_clean(&lab, 0, "enp1s0v0");
    leave_with_devices(lab, &before);
}

#[test]
fn a_container_with_a_device_is_started_again_after_a_crash() {
    let (lab, before) = with_devices(POOL);
    for engine in ["docker", "podman"] {
        let run = format!("{engine} run -d --name sensor --network none --restart always");
        lab.ok(&format!("{run} --device runvf.io/vlan=100 {IMAGE} sleep 100000")).unwrap();
        let inside = format!("{engine} exec sensor cat /sys/class/net/mon0/ifalias");
        assert_eq!(lab.ok(&inside).unwrap().text(), "vlan=100");
        lab.ok("kill -KILL $(jq .init.pid /run/runvf/claims/*.json)").unwrap();
        lab.wait_until(SETTLED, &format!("[ \"$({inside})\" = vlan=100 ]")).unwrap();
        assert_eq!(on_vlans(&lab, "pf0"), [(100, true)], "{engine}");
        lab.ok(&format!("{engine} rm -f sensor")).unwrap();
        wait_for_release(&lab);
        assert_clean(&lab, 0, "enp1s0v0");
    }
    leave_with_devices(lab, &before);
}

#[test]
fn the_devices_follow_the_configuration() {
    let (lab, before) = with_devices(POOL);
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/systemd");
    for unit in ["runvf-cdi.path", "runvf-cdi.service"] {
        lab.push(format!("{units}/{unit}"), &format!("/usr/lib/systemd/system/{unit}")).unwrap();
    }
    let output = lab.ok("systemctl daemon-reload; runvfctl install cdi").unwrap();
    assert!(output.stdout.contains("runvf-cdi.path watches /etc/runvf/config.toml"), "{output}");
    configure(&lab, &(POOL.to_owned() + "[[tenant]]\nname = \"acme\"\nvlans = [100]\n"));
    let names = "jq -r .devices[].name /etc/cdi/runvf-vlan.json /etc/cdi/runvf-tenant.json";
    lab.wait_until(SETTLED, &format!("[ \"$({names} | xargs)\" = '100 acme' ]")).unwrap();
    let output = seen(&lab, RUN[0], "--device runvf.io/tenant=acme");
    assert_eq!(output.text(), "mon0 vlan=100 tenant=acme 1", "{output}");
    // A configuration that is not valid changes no device.
    configure(&lab, "[[pool]]\n");
    lab.wait_until(SETTLED, "systemctl is-failed runvf-cdi.service").unwrap();
    assert_eq!(lab.ok(&format!("{names} | xargs")).unwrap().text(), "100 acme");
    lab.ok(
        "runvfctl uninstall cdi; ! systemctl is-enabled runvf-cdi.path; [ -z \"$(ls /etc/cdi)\" ]; \
        rm /usr/lib/systemd/system/runvf-cdi.*; systemctl daemon-reload",
    )
    .unwrap();
    leave_as(Preparation::Cdi, lab, &before);
}
