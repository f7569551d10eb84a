//! Containers that quadlets, pods and containerd's own client start. The files are those of
//! docs/examples.

use crate::host::{assert_clean, assert_untouched, leave, on_vlans, prepared, state};
use crate::pods::{add_infra_image, assert_sensor};
use crate::script::script;

const QUADLET: &str = include_str!("../../../docs/examples/acme.container");
const POD: &str = include_str!("../../../docs/examples/pod.yaml");

#[test]
fn a_quadlet_starts_a_sensor_under_systemd() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/etc/containers/systemd/acme.container", QUADLET).unwrap();
    lab.ok("systemctl daemon-reload; systemctl start acme").unwrap();
    assert_sensor(&lab, "podman exec acme");
    lab.ok("systemctl stop acme; rm -r /etc/containers/systemd/acme.container /var/log/runvf/acme; systemctl daemon-reload").unwrap();
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

/// The infra container of the pod holds the namespaces. The sensor joins them, and its VF is moved
/// there.
#[test]
fn a_sensor_in_a_pod_has_its_vf_in_the_netns_of_the_pod() {
    let lab = prepared();
    let before = state(&lab);
    let infra = add_infra_image(&lab);
    lab.write("/tmp/pod.yaml", POD).unwrap();
    lab.ok("podman kube play --network none /tmp/pod.yaml").unwrap();
    assert_sensor(&lab, "podman exec acme-sensor");
    lab.ok(&format!("podman kube down /tmp/pod.yaml; podman rmi localhost/pause; rm -r {infra} /var/log/runvf/acme")).unwrap();
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

/// ctr names the program of a runtime, and not a runtime of containerd's configuration.
pub(crate) fn ctr_runs_containers_with_runvf_as_with_runc() {
    let lab = prepared();
    let before = state(&lab);
    let image = "docker.io/runvf/tcpdump:latest";
    lab.ok("docker save runvf/tcpdump | ctr -n lab image import - > /dev/null").unwrap();
    let [runc, runvf] = ["/usr/bin/runc", "/usr/bin/runvf"].map(|runtime| {
        let parameters = [("runtime", runtime), ("image", image)];
        lab.ok(&script(include_str!("../scripts/ctr.sh"), &parameters)).unwrap().stdout
    });
    for line in ["out", "= 3", "inside", "= 4", "PAUSED", "RUNNING", "1 process", "removed"] {
        assert!(runc.lines().any(|printed| printed == line), "{line}: {runc}");
    }
    assert_eq!(runvf, runc);
    let run = "ctr -n lab run -d --runc-binary /usr/bin/runvf --annotation io.runvf.vlan=100";
    lab.ok(&format!("{run} {image} sensor sleep 1000")).unwrap();
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);
    let carrier = "ctr -n lab task exec --exec-id look sensor cat /sys/class/net/mon0/carrier";
    assert_eq!(lab.ok(carrier).unwrap().text(), "1");
    lab.ok("ctr -n lab task kill -s KILL sensor; ctr -n lab task rm -f sensor || true; ctr -n lab container rm sensor").unwrap();
    let refused = lab.sh(&format!("ctr -n lab run --rm --runc-binary /usr/bin/runvf --annotation io.runvf.vlan=5000 {image} plain true")).unwrap();
    assert!(
        refused.status != 0
            && refused
                .stderr
                .contains("io.runvf.vlan=5000 is not a VLAN; give a number from 1 to 4094"),
        "{refused}"
    );
    lab.ok(&format!(
        "ctr -n lab container rm plain || true; ctr -n lab image rm {image} > /dev/null"
    ))
    .unwrap();
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}
