//! The bundles under systemd: a sensor as a quadlet, and all sensors of a tenant as a pod.

use std::path::Path;
use std::time::Duration;

use lab::Lab;

use crate::host::{leave, on_vlans, prepared, state};
use crate::pods::add_infra_image;

const TIMEOUT: Duration = Duration::from_secs(120);
const UNITS: &str = "/etc/containers/systemd";

/// Installs files of `bundles/` as quadlets.
fn install(lab: &Lab, files: &[&str]) {
    let bundles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundles");
    lab.ok(&format!("mkdir -p {UNITS} /etc/runvf/sensors")).unwrap();
    for file in files {
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        lab.push(bundles.join(file), &format!("{UNITS}/{name}")).unwrap();
    }
    lab.push(bundles.join("tenant/acme.rules"), "/etc/runvf/sensors/acme.rules").unwrap();
    lab.ok("systemctl daemon-reload").unwrap();
}

/// Removes the quadlets and their volumes.
fn remove(lab: &Lab, names: &[&str]) {
    for name in names {
        lab.ok(&format!("podman volume rm -f {name}-log")).unwrap();
    }
    lab.ok(&format!("rm -rf {UNITS} /etc/runvf/sensors; systemctl daemon-reload")).unwrap();
}

fn wait_until_healthy(lab: &Lab, names: &[&str]) {
    for name in names {
        let healthy = format!("podman exec {name} health");
        if let Err(error) = lab.wait_until(TIMEOUT, &healthy) {
            panic!(
                "{error}\n{}",
                lab.sh(&format!("systemctl status {name}; podman logs {name}")).unwrap()
            );
        }
    }
}

#[test]
fn a_sensor_under_systemd_has_a_vf_again_after_a_restart() {
    let lab = prepared();
    let before = state(&lab);
    install(&lab, &["argus/acme-argus.container"]);
    lab.ok_within(TIMEOUT, "systemctl start acme-argus").unwrap();
    wait_until_healthy(&lab, &["acme-argus"]);
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);
    let user = lab.ok("podman exec acme-argus id -u").unwrap();
    assert_eq!(user.text(), "999");
    lab.ok_within(TIMEOUT, "systemctl restart acme-argus").unwrap();
    wait_until_healthy(&lab, &["acme-argus"]);
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);
    lab.ok_within(TIMEOUT, "systemctl stop acme-argus").unwrap();
    remove(&lab, &["acme-argus"]);
    leave(lab, &before);
}

#[test]
fn the_sensors_of_a_tenant_are_one_pod_and_each_has_a_vf() {
    let lab = prepared();
    let before = state(&lab);
    let infra = add_infra_image(&lab);
    let files =
        ["tenant/acme.pod", "tenant/acme-argus.container", "tenant/acme-suricata.container"];
    install(&lab, &files);
    lab.ok_within(TIMEOUT, "systemctl start acme-pod").unwrap();
    wait_until_healthy(&lab, &["acme-argus", "acme-suricata"]);
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true), (100, true)]);
    lab.ok_within(TIMEOUT, "systemctl stop acme-pod").unwrap();
    remove(&lab, &["acme-argus", "acme-suricata"]);
    lab.ok(&format!("podman rmi localhost/pause; rm -r {infra}")).unwrap();
    leave(lab, &before);
}
