//! Proof for containers that Compose starts; `soak::pods` has quadlets, pods and containerd's own
//! client. The files come from docs/examples.

use lab::Lab;

use crate::host::{assert_clean, assert_untouched, leave, on_vlans, prepared, state};

const COMPOSE: &str = include_str!("../../docs/examples/compose.yaml");

/// Asserts that the sensor has its VF and writes its capture. `inside` is the command that runs a
/// command in the sensor.
pub(crate) fn assert_sensor(lab: &Lab, inside: &str) {
    assert_eq!(on_vlans(lab, "pf0"), [(100, true)], "{inside}");
    assert_eq!(
        lab.ok(&format!("{inside} cat /sys/class/net/mon0/carrier")).unwrap().text(),
        "1",
        "{inside}"
    );
    let writes = format!("{inside} test -s /var/log/sensor/mon0.pcap");
    lab.wait_until(std::time::Duration::from_secs(20), &writes).unwrap();
}

/// Gives Podman an image for the infra containers of its pods, because its own is not in the guest,
/// and there is no registry. Returns the file that names the image.
pub(crate) fn add_infra_image(lab: &Lab) -> &'static str {
    lab.ok("podman create --name pause runvf/tcpdump; podman commit -q --change 'CMD [\"sleep\", \"100000\"]' pause localhost/pause; podman rm pause")
        .unwrap();
    let file = "/etc/containers/containers.conf.d/90-infra.conf";
    lab.write(file, "[engine]\ninfra_image = \"localhost/pause\"\n").unwrap();
    file
}

#[test]
fn compose_starts_a_sensor() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/compose/compose.yaml", COMPOSE).unwrap();
    lab.ok("docker-compose -f /tmp/compose/compose.yaml up -d --quiet-pull").unwrap();
    assert_sensor(&lab, "docker-compose -f /tmp/compose/compose.yaml exec -T acme");
    // After a restart it has a VF again.
    lab.ok("docker-compose -f /tmp/compose/compose.yaml restart -t 5").unwrap();
    assert_sensor(&lab, "docker-compose -f /tmp/compose/compose.yaml exec -T acme");
    lab.ok("docker-compose -f /tmp/compose/compose.yaml down -t 5; rm -rf /var/log/runvf/acme")
        .unwrap();
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}
