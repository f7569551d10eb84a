//! Proof of what the monitor shows: its metrics, read through a port that leads to its Unix socket.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lab::Lab;
use lab::traffic::{Capture, Class, Traffic};

use super::{
    TIMEOUT, X710_CONFIG, assert_in_time, assert_sees_everything, igb, journal, monitored,
    sensor_on, with, x710,
};
use crate::card::{I82576, X710};
use crate::engine::{self, Engine, IMAGE};

const SOCKET: &str = "/run/runvf-monitor.sock";

/// The metrics of a monitor.
pub(crate) struct Shown<'lab> {
    lab: &'lab Lab,
    pub(crate) port: u16,
}

impl<'lab> Shown<'lab> {
    pub(crate) fn of(lab: &'lab Lab) -> Self {
        lab.wait_until(TIMEOUT, &format!("[ -S {SOCKET} ]")).unwrap();
        Self { lab, port: lab.forward(SOCKET).unwrap() }
    }

    /// The body of the answer; empty until the monitor has looked at the host.
    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        if head.starts_with("HTTP/1.1 200 ") { body.to_owned() } else { String::new() }
    }

    /// The first sample of a metric with this text in its labels.
    pub(crate) fn value(&self, name: &str, label: &str) -> Option<f64> {
        value(&self.metrics(), name, label)
    }

    /// Waits until the sample has this value.
    pub(crate) fn wait_for(&self, name: &str, label: &str, expected: f64) {
        self.wait(name, label, |value| value == expected);
    }

    /// Waits until the sample `fits`, and returns it.
    pub(crate) fn wait(&self, name: &str, label: &str, fits: impl Fn(f64) -> bool) -> f64 {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let metrics = self.metrics();
            match value(&metrics, name, label) {
                Some(value) if fits(value) => return value,
                _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
                last => panic!("{name} {label}: {last:?}\n{metrics}\n{}", journal(self.lab)),
            }
        }
    }

    /// Waits until the metrics have the gaps of the claim on the first VF of pf0, and no open one.
    pub(crate) fn wait_for_gaps(&self) {
        let [gaps, milliseconds] = ["claim .blind.gaps", "claim .blind.milliseconds"]
            .map(|query| with(self.lab, query).parse::<f64>().unwrap());
        let vf = "vf=\"0\"";
        self.wait("runvf_vf_gaps_total", vf, |shown| shown >= gaps);
        self.wait_for("runvf_vf_blind", vf, 0.0);
        let seconds = self.value("runvf_vf_blind_seconds_total", vf).unwrap();
        // The sum of lengths in seconds is not exact.
        assert!(seconds + 0.0005 >= milliseconds / 1000.0, "{seconds} s, {milliseconds} ms");
    }
}

fn value(metrics: &str, name: &str, label: &str) -> Option<f64> {
    let is_it = |line: &&str| {
        let labels = line.strip_prefix(name);
        labels.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
    };
    metrics.lines().find(is_it)?.rsplit(' ').next()?.parse().ok()
}

/// The frames that the kernel has counted on the interface of `a`.
fn received(lab: &Lab) -> f64 {
    let query = "inside ip -s -j link show mon0 | jq '.[0].stats64.rx.packets'";
    with(lab, query).parse().unwrap()
}

pub(crate) fn metrics_tell_what_a_sensor_receives_and_loses() {
    let tenant = "[[tenant]]\nname = \"acme\"\nvlans = [11]\nmax = 2\n";
    let lab = monitored(X710, &format!("{X710_CONFIG}{tenant}"));
    with(&lab, "holder a; more=',\"io.runvf.tenant\":\"acme\"' hook attach a 11");
    let shown = Shown::of(&lab);
    let vf = "vf=\"0\"";
    shown.wait_for("runvf_vf_watched", vf, 1.0);
    for (name, label, expected) in [
        ("runvf_vf_info", "vlan=\"11\"", 1.0),
        ("runvf_vf_info", "tenant=\"acme\",container=\"a\",interface=\"mon0\"", 1.0),
        ("runvf_vf_state", "state=\"attached\"", 1.0),
        ("runvf_claims", "state=\"attached\"", 1.0),
        ("runvf_tenant_claims", "tenant=\"acme\"", 1.0),
        ("runvf_tenant_max", "tenant=\"acme\"", 2.0),
        ("runvf_vf_in_doubt", vf, 0.0),
        ("runvf_pf_carrier", "device=\"pf0\"", 1.0),
        ("runvf_attaches_total", "", 1.0),
        ("runvf_attach_duration_seconds_count", "", 1.0),
        ("runvf_monitor_watched_vfs", "", 1.0),
    ] {
        shown.wait_for(name, label, expected);
    }
    // A socket with a ring: its loss is unknown.
    lab.ok("ip netns attach a $(cat /tmp/a.pid)").unwrap();
    let capture = Capture::start(&lab, "mon0", Some("a")).unwrap();
    shown.wait_for("runvf_vf_capture_sockets", "ring=\"yes\"", 1.0);
    shown.wait("runvf_vf_capture_ring_bytes", vf, |bytes| bytes > 0.0);
    let before = received(&lab);
    let traffic = Traffic::new().send(Some(11), Class::UnknownUnicast, 300);
    traffic.play(&lab, "mirror0").unwrap();
    let seen = capture.finish(&traffic, Some(11)).unwrap();
    let verdict = traffic.judge(&seen, |_| true).unwrap();
    verdict.require_exact("the sensor").unwrap();
    // iavf asks its PF for the counters every two seconds.
    shown.wait("runvf_vf_receive_packets_total", vf, |count| {
        count >= before + 300.0 && count == received(&lab)
    });
    assert_eq!(shown.value("runvf_vf_socket_dropped_total", vf), None, "no loss is known");
    // One without a ring, with a buffer for a few frames, which its owner never reads.
    lab.write("/tmp/deaf.pl", include_str!("../scripts/deaf.pl")).unwrap();
    with(&lab, "start_deaf");
    shown.wait_for("runvf_vf_socket_dropped_total", vf, 0.0);
    traffic.play(&lab, "mirror0").unwrap();
    shown.wait("runvf_vf_socket_dropped_total", vf, |lost| lost > 200.0);
    let query = "[.[].vfs[].sockets // empty | .listed[].lost // 0] | max > 200";
    lab.ok(&format!("runvfctl status --json | jq -e '{query}'")).unwrap();
}

/// The cable of the PF is pulled out, and plugged in again.
pub(crate) fn a_lost_carrier_is_an_open_gap_until_the_carrier_is_back() {
    let lab = x710();
    let shown = Shown::of(&lab);
    let (pf, vf) = ("device=\"pf0\"", "vf=\"0\"");
    shown.wait_for("runvf_pf_carrier", pf, 1.0);
    lab.set_x710_cable(0, false).unwrap();
    assert_in_time(&lab, "time_until gap_is_open");
    with(&lab, "time_until said 'PF pf0 .* has no carrier: its sensors may receive nothing'");
    let status =
        "systemctl show -P StatusText runvf-monitor.service | grep -q 'without carrier: pf0'";
    lab.wait_until(TIMEOUT, status).unwrap();
    shown.wait_for("runvf_pf_carrier", pf, 0.0);
    shown.wait_for("runvf_vf_blind", vf, 1.0);
    let first = shown.wait("runvf_vf_blind_seconds_total", vf, |seconds| seconds > 0.0);
    shown.wait("runvf_vf_blind_seconds_total", vf, |seconds| seconds > first + 1.0);
    let gaps = with(&lab, "claim .blind.gaps");
    lab.set_x710_cable(0, true).unwrap();
    let next = gaps.parse::<usize>().unwrap() + 1;
    assert_in_time(
        &lab,
        &format!("time_until has_carrier a > /dev/null; time_until gaps_reach {next}"),
    );
    shown.wait_for("runvf_pf_carrier", pf, 1.0);
    shown.wait_for_gaps();
    assert_sees_everything(&lab, "with the cable plugged in again");
}

/// A PF of the 82576 that went down. Its VFs forget nothing.
pub(crate) fn a_pf_of_the_82576_that_is_down_is_noticed() {
    let lab = igb();
    let shown = Shown::of(&lab);
    shown.wait_for("runvf_pf_up", "device=\"pf0\"", 1.0);
    with(&lab, "ip link set pf0 down; time_until said 'PF pf0 .* is down'");
    shown.wait_for("runvf_pf_up", "device=\"pf0\"", 0.0);
    with(&lab, "ip link set pf0 up; time_until said 'PF pf0 .* has its carrier back'");
    shown.wait_for("runvf_pf_up", "device=\"pf0\"", 1.0);
}

/// A container that another one joins by `--network container:`.
pub(crate) fn a_container_that_joins_a_sensor_is_told_once_and_a_process_of_the_sensor_is_not() {
    let lab = monitored(I82576, X710_CONFIG);
    engine::start(&lab, Engine::Docker, "sensor", "--annotation io.runvf.vlan=11");
    lab.ok("docker exec -d sensor sleep 1000; runvfctl gc").unwrap();
    let joined =
        || with(&lab, "runvfctl audit --json | jq '[.[] | select(.event == \"joined\")] | length'");
    assert_eq!(joined(), "0");
    lab.ok(&format!("docker run -d --name other --network container:sensor {IMAGE} sleep 1000"))
        .unwrap();
    lab.ok("runvfctl gc; runvfctl gc").unwrap();
    assert_eq!(joined(), "1");
    Shown::of(&lab).wait_for("runvf_vf_joined_cgroups", "vf=\"0\"", 1.0);
    let id = lab.ok("docker inspect -f '{{.Id}}' other").unwrap();
    let status = lab.ok("runvfctl status").unwrap();
    assert!(status.stdout.contains(id.text()), "{status}");
}

/// The gap of a pool that only reports lasts until the sensor itself turns promiscuity on.
pub(crate) fn promiscuity_that_was_turned_off_is_only_reported_if_the_pool_says_so() {
    let lab = sensor_on(X710, &format!("{X710_CONFIG}on_promisc_off = \"report\"\n"));
    let (shown, vf) = (Shown::of(&lab), "vf=\"0\"");
    assert_in_time(&lab, "inside ip link set mon0 promisc off; time_until audited blind 1");
    let flags = with(&lab, "inside ip link show mon0");
    assert!(!flags.contains("PROMISC"), "{flags}");
    assert_eq!(with(&lab, "claim .gap.until"), "null");
    let row = lab.ok("runvfctl audit | grep ' blind '").unwrap();
    assert!(row.stdout.contains("its interface was not promiscuous"), "{row}");
    shown.wait_for("runvf_vf_blind", vf, 1.0);
    shown.wait("runvf_monitor_blind_looks_total", "", |looks| looks >= 1.0);
    // The sensor turns it on itself: the gap ends.
    assert_in_time(&lab, "inside ip link set mon0 promisc on; time_until gaps_reach 1");
    shown.wait_for_gaps();
    assert_sees_everything(&lab, "after the sensor turned promiscuity on");
}

/// While another process has the PF's lock, the monitor can set nothing back, and says so.
pub(crate) fn a_change_that_is_not_set_back_puts_the_sensor_in_doubt() {
    let lab = x710();
    let (shown, vf) = (Shown::of(&lab), "vf=\"0\"");
    shown.wait_for("runvf_vf_in_doubt", vf, 0.0);
    let next = with(&lab, "claim .blind.gaps").parse::<usize>().unwrap() + 1;
    // The lock keeps the monitor from its reaction, but not from showing what is wrong.
    with(&lab, "hold_pf_lock; ip link set pf0 vf 0 vlan 300");
    shown.wait_for("runvf_vf_in_doubt", vf, 1.0);
    with(&lab, "inside ip link set mon0 promisc off");
    with(&lab, "ip link set pf0 vf 0 vlan 11");
    shown.wait_for("runvf_vf_blind", vf, 1.0);
    assert_eq!(with(&lab, "claim '.gap == null or .gap.until != null'"), "true");
    with(&lab, &format!("release_pf_lock; time_until gaps_reach {next}"));
    shown.wait_for("runvf_vf_in_doubt", vf, 0.0);
}
