//! Each bundle, started by the line of bundles/README.md, survives a restart, a full log volume and a
//! reset of the host, and says each time what it has lost.

use std::path::Path;
use std::time::Duration;

use lab::Lab;
use lab::traffic::{Class, Traffic};

use crate::host::{installed, on_vlans};

const TIMEOUT: Duration = Duration::from_secs(300);
/// Where the bundles are. `/tmp` does not survive a boot.
const BUNDLES: &str = "/srv/bundles";
/// More memory for the log volume would keep it from becoming full.
const SMALL_VOLUME: &str =
    "{driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: 'size=4m,mode=1777'}}";

/// A bundle, with the name of its log volume and the folder of its logs.
struct Sensor {
    name: &'static str,
    volume: &'static str,
    logs: &'static str,
}

impl Sensor {
    fn compose(&self, command: &str) -> String {
        format!("docker-compose -f {0}/compose.yaml -f {0}/volume.yaml {command}", self.folder())
    }

    fn folder(&self) -> String {
        format!("{BUNDLES}/{}", self.name)
    }

    fn exec(&self, command: &str) -> String {
        format!("docker exec {0}-{0}-1 {command}", self.name)
    }

    /// Copies the bundle, with a log volume of 4 MiB.
    fn install(&self, lab: &Lab) {
        let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundles").join(self.name);
        for file in ["compose.yaml", "acme.rules"] {
            if bundle.join(file).exists() {
                lab.push(bundle.join(file), &format!("{}/{file}", self.folder())).unwrap();
            }
        }
        let volume = format!("volumes:\n  {}: {SMALL_VOLUME}\n", self.volume);
        lab.write(&format!("{}/volume.yaml", self.folder()), volume).unwrap();
    }

    /// Waits until the sensor is healthy, sends 100 frames and waits until the sensor has counted
    /// them all and has lost none.
    fn require_working(&self, lab: &Lab, when: &str) {
        let healthy = lab.wait_until(TIMEOUT, &self.exec("health"));
        healthy.unwrap_or_else(|error| panic!("{when}: {error}\n{}", self.log(lab)));
        assert_eq!(on_vlans(lab, "pf0"), [(100, true)], "{} {when}", self.name);
        // The end mark is one more.
        let frames = Traffic::new().send(Some(100), Class::Broadcast, 99);
        let before = self.counted(lab);
        frames.play(lab, "mirror0").unwrap();
        let counted = format!(
            "{} > /tmp/health; grep -q ', and 0 of {} frames since the start' /tmp/health",
            self.exec("health"),
            before + 100
        );
        let counted = lab.wait_until(TIMEOUT, &counted);
        counted.unwrap_or_else(|error| panic!("{when}: {error}\n{}", self.log(lab)));
    }

    /// The frames since the start of the sensor.
    fn counted(&self, lab: &Lab) -> u32 {
        let health = lab.ok(&self.exec("health")).unwrap();
        let words: Vec<&str> = health.text().split(' ').collect();
        let of = words.iter().rposition(|word| *word == "of").unwrap();
        words[of + 1].parse().unwrap()
    }

    fn log(&self, lab: &Lab) -> String {
        lab.sh(&format!("cat /tmp/health; {}", self.compose("logs"))).unwrap().to_string()
    }
}

fn a_bundle_survives(sensor: &Sensor) {
    let mut lab = installed();
    lab.write("/etc/runvf/config.toml", "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\nvfs = 3\n")
        .unwrap();
    sensor.install(&lab);
    lab.ok_within(TIMEOUT, &sensor.compose("up -d --quiet-pull")).unwrap();
    sensor.require_working(&lab, "after its start");

    lab.ok_within(TIMEOUT, &format!("docker restart {0}-{0}-1", sensor.name)).unwrap();
    sensor.require_working(&lab, "after a restart");

    let fill = format!("sh -c 'dd if=/dev/zero of={}/fill bs=64k || true'", sensor.logs);
    lab.ok(&sensor.exec(&fill)).unwrap();
    let full = lab.sh(&sensor.exec("health")).unwrap();
    let expected = format!("the volume of {} is full", sensor.logs);
    assert!(full.status == 1 && full.stdout.contains(&expected), "{full}");
    let unhealthy = "docker ps --filter health=unhealthy --format '{{.Names}}' | grep -q .";
    lab.wait_until(TIMEOUT, unhealthy).unwrap();
    Traffic::new().send(Some(100), Class::Broadcast, 20).play(&lab, "mirror0").unwrap();
    // A sensor that ends, because it cannot write, is started again by its engine with an empty
    // volume.
    let freed = format!(
        "{} || {}",
        sensor.exec(&format!("rm {}/fill", sensor.logs)),
        sensor.exec("health")
    );
    lab.wait_until(TIMEOUT, &freed).unwrap();
    let healthy = lab.wait_until(TIMEOUT, &sensor.exec("health"));
    healthy.unwrap_or_else(|error| panic!("{error}\n{}", sensor.log(&lab)));
    assert_eq!(on_vlans(&lab, "pf0"), [(100, true)]);
    // A new count, because a sensor may not have counted the last frames yet.
    lab.ok_within(TIMEOUT, &format!("docker restart {0}-{0}-1", sensor.name)).unwrap();
    sensor.require_working(&lab, "after its log volume was full");

    // The file system of the image has no journal.
    lab.ok("sync").unwrap();
    lab.reset(Duration::from_secs(600)).unwrap();
    lab.wait_until(Duration::from_secs(300), "docker info").unwrap();
    sensor.require_working(&lab, "after a reset of the host");
    lab.ok_within(TIMEOUT, &sensor.compose("down -v -t 10")).unwrap();
}

#[test]
fn suricata_survives_a_restart_a_full_volume_and_a_reset() {
    a_bundle_survives(&Sensor {
        name: "suricata",
        volume: "suricata-log",
        logs: "/var/log/suricata",
    });
}

#[test]
fn argus_survives_a_restart_a_full_volume_and_a_reset() {
    a_bundle_survives(&Sensor { name: "argus", volume: "argus-log", logs: "/var/log/argus" });
}

#[test]
fn tcpdump_survives_a_restart_a_full_volume_and_a_reset() {
    a_bundle_survives(&Sensor { name: "tcpdump", volume: "tcpdump-log", logs: "/var/log/sensor" });
}
