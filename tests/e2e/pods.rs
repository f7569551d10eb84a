//! Containers that are not started by `docker run` or `podman run`: by Compose, quadlets, pods and containerd's own client.
//! The files are those of docs/examples.

use lab::Lab;

use crate::host::{assert_clean, assert_untouched, leave, on_vlans, prepared, state};

const COMPOSE: &str = include_str!("../../docs/examples/compose.yaml");
const QUADLET: &str = include_str!("../../docs/examples/acme.container");
const POD: &str = include_str!("../../docs/examples/pod.yaml");

/// A sensor whose VF is in place writes its file; `inside` is what runs a command in it.
fn assert_sensor(lab: &Lab, inside: &str) {
    assert_eq!(on_vlans(lab, "pf0"), [(100, true)], "{inside}");
    assert_eq!(
        lab.ok(&format!("{inside} cat /sys/class/net/mon0/carrier")).unwrap().text(),
        "1",
        "{inside}"
    );
    let writes = format!("{inside} test -s /var/log/sensor/mon0.pcap");
    lab.wait_until(std::time::Duration::from_secs(20), &writes).unwrap();
}

#[test]
fn compose_starts_a_sensor() {
    let lab = prepared();
    let before = state(&lab);
    lab.write("/tmp/compose/compose.yaml", COMPOSE).unwrap();
    lab.ok("docker-compose -f /tmp/compose/compose.yaml up -d --quiet-pull").unwrap();
    assert_sensor(&lab, "docker-compose -f /tmp/compose/compose.yaml exec -T acme");
    // Its restart policy gives it another VF as soon as it ends.
    lab.ok("docker-compose -f /tmp/compose/compose.yaml restart -t 5").unwrap();
    assert_sensor(&lab, "docker-compose -f /tmp/compose/compose.yaml exec -T acme");
    lab.ok("docker-compose -f /tmp/compose/compose.yaml down -t 5; rm -rf /var/log/runvf/acme")
        .unwrap();
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

#[test]
fn a_quadlet_is_a_sensor_that_systemd_keeps() {
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

/// The pod's own container holds the namespaces; the sensor joins them, and its VF comes there.
#[test]
fn a_sensor_in_a_pod_has_its_vf_in_the_pods_network() {
    let lab = prepared();
    let before = state(&lab);
    // What Podman would take for the pod's own container is not in the guest, and there is no registry.
    lab.ok("podman create --name pause runvf/tcpdump; podman commit -q --change 'CMD [\"sleep\", \"100000\"]' pause localhost/pause; podman rm pause")
        .unwrap();
    let infra = "/etc/containers/containers.conf.d/90-infra.conf";
    lab.write(infra, "[engine]\ninfra_image = \"localhost/pause\"\n").unwrap();
    lab.write("/tmp/pod.yaml", POD).unwrap();
    lab.ok("podman kube play --network none /tmp/pod.yaml").unwrap();
    assert_sensor(&lab, "podman exec acme-sensor");
    lab.ok(&format!("podman kube down /tmp/pod.yaml; podman rmi localhost/pause; rm -r {infra} /var/log/runvf/acme")).unwrap();
    assert_untouched(&lab, &before);
    assert_clean(&lab, 0, "enp1s0v0");
    leave(lab, &before);
}

/// What `ctr` does every day, with `$r` as the runtime.
const CTR: &str = r#"
c="ctr -n lab"
$c run --rm --runc-binary $r $i plain sh -c 'echo out; exit 3' < /dev/null || echo "= $?"
$c run -d --runc-binary $r $i plain sleep 1000 < /dev/null
$c task exec --exec-id a plain sh -c 'echo inside; exit 4' < /dev/null || echo "= $?"
status() { $c task ls | awk '$1 == "plain" { print $3 }'; }
$c task pause plain; status; $c task resume plain; status
echo $($c task ps plain | tail -n +2 | wc -l) process
$c task metrics --format json plain | jq -c 'keys'
$c task kill -s KILL plain; until [ "$(status)" = STOPPED ]; do sleep 0.1; done
$c task rm plain && $c container rm plain && echo removed
"#;

/// containerd's own client names no runtime of its configuration, but a program.
#[test]
fn containerd_runs_what_ctr_names() {
    let lab = prepared();
    let before = state(&lab);
    let image = "docker.io/runvf/tcpdump:latest";
    lab.ok("docker save runvf/tcpdump | ctr -n lab image import - > /dev/null").unwrap();
    let everyday = ["runc", "runvf"]
        .map(|runtime| lab.ok(&format!("r=/usr/bin/{runtime}; i={image}; {CTR}")).unwrap().stdout);
    for line in ["out", "= 3", "inside", "= 4", "PAUSED", "RUNNING", "1 process", "removed"] {
        assert!(everyday[0].lines().any(|there| there == line), "{line}: {}", everyday[0]);
    }
    assert_eq!(everyday[0], everyday[1]);
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
