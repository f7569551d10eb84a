//! Proof of the sensor profile on both NICs: channels, ring, interrupts and offloads of the VF, read
//! back by ethtool, and frames for unknown addresses that arrive afterwards.

use lab::traffic::{Capture, Class, Traffic};
use lab::{BothCpus, Lab};
use serde_json::Value;

use crate::card::X710;
use crate::engine::{Engine, IMAGE, start};
use crate::hook_calls::{functions, with};
use crate::host::{assert_untouched, configure, installed_on, leave, prepared, state};

const POOL: &str = "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n";

/// What ethtool prints for mon0 of a process, in one line.
fn ethtool(lab: &Lab, pid: &str, option: &str) -> String {
    let shown = lab.ok(&format!("nsenter -n -t {pid} ethtool {option} mon0")).unwrap();
    shown.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The current values of `ethtool -g` and `-l` follow the maxima.
fn current(shown: &str) -> &str {
    shown.split("Current hardware settings:").nth(1).unwrap_or_default()
}

fn settings(lab: &Lab) -> Value {
    lab.json("runvfctl status --settings --json").unwrap()[0].clone()
}

pub(crate) fn a_sensor_on_igb_has_the_settings_of_its_pool() {
    let lab = prepared();
    let before = state(&lab);
    let ring_of_driver = lab.ok("ethtool -g enp1s0v0").unwrap().stdout;
    let pid = "$(docker inspect -f '{{.State.Pid}}' sensor)";
    let options = "--annotation io.runvf.vlan=100 --cpuset-cpus 0";
    start(&lab, Engine::Docker, "sensor", options);
    // igbvf has no channels. Its largest ring has 4096 descriptors (`IGBVF_MAX_RXD`).
    assert!(current(&ethtool(&lab, pid, "-g")).contains("RX: 4096"));
    assert!(ethtool(&lab, pid, "-c").contains("rx-usecs: 125 "));
    assert!(ethtool(&lab, pid, "-k").contains("generic-receive-offload: off"));
    let shown = settings(&lab);
    assert_eq!((&shown["rx_ring"], &shown["rx_ring_max"]), (&4096.into(), &4096.into()), "{shown}");
    assert_eq!((&shown["rx_usecs"], &shown["channels"]), (&125.into(), &Value::Null), "{shown}");
    assert_eq!(shown["merging"], Value::Array(Vec::new()), "{shown}");
    let table = lab.ok("runvfctl status --settings").unwrap();
    assert!(table.stdout.contains(" sensor ") && table.stdout.contains(" 4096 "), "{table}");
    lab.ok("docker rm -f sensor").unwrap();

    configure(
        &lab,
        &format!(
            "{POOL}rx_ring = 512\nrx_usecs = \"keep\"\noffloads = \"off\"\ntransmit = \"allow\"\n"
        ),
    );
    start(&lab, Engine::Docker, "sensor", options);
    assert!(current(&ethtool(&lab, pid, "-g")).contains("RX: 512"));
    assert!(ethtool(&lab, pid, "-k").contains("rx-checksumming: off"));
    assert_eq!(settings(&lab)["drops_sent"], false);
    lab.ok("docker rm -f sensor").unwrap();
    assert_untouched(&lab, &before);
    // The rebind gives the VF its driver's own settings again.
    assert_eq!(lab.ok("ethtool -g enp1s0v0").unwrap().stdout, ring_of_driver);
    leave(lab, &before);
}

pub(crate) fn a_setting_that_the_driver_lacks_refuses_the_container_and_says_why() {
    let lab = prepared();
    let before = state(&lab);
    for (key, problem) in [
        ("channels = 2", "its driver has a fixed number of channels"),
        ("rx_ring = 8192", "`rx_ring` is 8192, and its driver supports at most 4096"),
    ] {
        configure(&lab, &format!("{POOL}{key}\n"));
        let output = lab
            .sh(&format!("docker run --rm --runtime runvf --network none --annotation io.runvf.vlan=100 {IMAGE} true"))
            .unwrap();
        assert!(output.stderr.contains(problem), "{output}");
        assert_untouched(&lab, &before);
    }
    leave(lab, &before);
}

/// An X710 with two CPUs, so that iavf has two channels for each VF, and a container with a VF.
fn x710(keys: &str) -> (Lab, BothCpus) {
    x710_with_cpuset(keys, "0-1")
}

/// The same, with a container that may run on these CPUs.
fn x710_with_cpuset(keys: &str, cpus: &str) -> (Lab, BothCpus) {
    let lab = installed_on(X710);
    let both_cpus = lab.use_both_cpus().unwrap();
    configure(&lab, &format!("{POOL}vfs = 4\n{keys}"));
    functions(&lab);
    let restrict = format!("taskset -pc {cpus} $(cat /tmp/a.pid)");
    lab.ok(&with(&format!("runvfctl setup; holder a 11; {restrict}; attach a"))).unwrap();
    (lab, both_cpus)
}

const X710_PID: &str = "$(cat /tmp/a.pid)";

/// Frames for unknown addresses arrive, although the VF was reset by the change of its channels.
fn assert_unknown_unicast_arrives(lab: &Lab) {
    lab.ok(&format!("ip netns attach sensor {X710_PID}")).unwrap();
    let capture = Capture::start(lab, "mon0", Some("sensor")).unwrap();
    let traffic = Traffic::new().send(Some(11), Class::UnknownUnicast, 20).send(
        Some(12),
        Class::UnknownUnicast,
        20,
    );
    traffic.play(lab, "mirror0").unwrap();
    let pcap = capture.finish(&traffic, Some(11)).unwrap();
    let verdict = traffic.judge(&pcap, |flow| flow.vlan == Some(11)).unwrap();
    verdict.require_exact("the sensor").unwrap();
}

#[test]
fn a_sensor_on_the_x710_has_the_settings_of_its_pool_and_stays_promiscuous() {
    let (lab, _both_cpus) = x710("");
    assert!(current(&ethtool(&lab, X710_PID, "-l")).contains("Combined: 1"));
    assert!(current(&ethtool(&lab, X710_PID, "-g")).contains("RX: 4096"));
    let coalescing = ethtool(&lab, X710_PID, "-c");
    // iavf has steps of 2 µs.
    assert!(coalescing.contains("Adaptive RX: off"), "{coalescing}");
    assert!(coalescing.contains("rx-usecs: 126 "), "{coalescing}");
    let offloads = ethtool(&lab, X710_PID, "-k");
    for off in ["generic-receive-offload", "tcp-segmentation-offload"] {
        assert!(offloads.contains(&format!("{off}: off")), "{offloads}");
    }
    let shown = settings(&lab);
    assert_eq!((&shown["channels"], &shown["rx_ring"]), (&1.into(), &4096.into()), "{shown}");
    assert_unknown_unicast_arrives(&lab);
    assert_eq!(lab.x710_journal().unwrap(), "");
}

pub(crate) fn several_channels_on_the_x710_have_a_symmetric_key() {
    let (lab, _both_cpus) = x710("channels = \"max\"\nrx_ring = 1024\n");
    assert!(current(&ethtool(&lab, X710_PID, "-l")).contains("Combined: 2"));
    assert!(current(&ethtool(&lab, X710_PID, "-g")).contains("RX: 1024"));
    assert!(ethtool(&lab, X710_PID, "-x").contains("6d:5a:6d:5a:6d:5a"));
    assert_eq!(settings(&lab)["symmetric"], true);
    assert_unknown_unicast_arrives(&lab);
    assert_eq!(lab.x710_journal().unwrap(), "");
}

fn assert_interrupts_run_on_cpu_1(lab: &Lab) {
    let shown = settings(lab);
    let cpus = shown["interrupt_cpus"].as_array().unwrap();
    assert!(!cpus.is_empty() && cpus.iter().all(|cpus| cpus == "1"), "{shown}");
}

/// The interrupts of the VF run where its container runs.
pub(crate) fn interrupts_follow_the_cpuset_of_the_container() {
    let lab = prepared();
    let before = state(&lab);
    let _both_cpus = lab.use_both_cpus().unwrap();
    let options = "--annotation io.runvf.vlan=100 --cpuset-cpus 1";
    start(&lab, Engine::Docker, "sensor", options);
    assert_interrupts_run_on_cpu_1(&lab);
    lab.ok("docker rm -f sensor; echo 0 > /sys/devices/system/cpu/cpu1/online").unwrap();
    leave(lab, &before);
}

pub(crate) fn interrupts_on_the_x710_follow_the_cpuset_of_the_container() {
    let (lab, _both_cpus) = x710_with_cpuset("", "1");
    assert_interrupts_run_on_cpu_1(&lab);
    assert_unknown_unicast_arrives(&lab);
    assert_eq!(lab.x710_journal().unwrap(), "");
}
