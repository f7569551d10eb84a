//! `runvfctl setup` at boot.

use std::path::Path;
use std::time::Duration;

use crate::engine::IMAGE;
use crate::hook_calls::{functions, vlans};
use crate::host::{configure, installed};
use crate::setup::{pf0, pool};

/// After a boot, the unit creates the VFs and then Docker starts the sensor, without a command of
/// an operator.
#[test]
fn a_sensor_starts_by_itself_after_a_boot() {
    let mut lab = installed();
    functions(&lab);
    configure(&lab, &pool("\"pf0\"", 3));
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let unit = "runvf-setup.service";
    lab.push(packaging.join(unit), &format!("/usr/lib/systemd/system/{unit}")).unwrap();
    // The unit has to do what the lab does for its PFs at boot.
    lab.ok(&format!(
        "sed -i '/ip link set \"pf/d' /usr/local/sbin/lab-ports; systemctl enable {unit}"
    ))
    .unwrap();
    lab.ok(&format!(
        "docker run -d --restart always --name sensor --runtime runvf --annotation io.runvf.vlan=100 {IMAGE} sleep 100000"
    ))
    .unwrap();
    // The file system of the image has no journal.
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
