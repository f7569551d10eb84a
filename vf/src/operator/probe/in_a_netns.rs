//! Tests of the exchange over real netdevs. A switch in user space plays the card.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::evidence::Evidence;
use super::exchange::{Station, exchange};
use super::options::Watch;
use super::topology::{Role, Vlans, topology};
use super::verdict::{Finding, Verdict, evaluate};
use crate::error::Error;
use crate::kernel::mac::MacAddress;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::packet::Port;
use crate::kernel::vf_settings::Settings;

/// Whether the card forwards a frame, given the sender, the destination address and a port of the
/// switch.
type Forwards = fn(Role, MacAddress, &SwitchPort) -> bool;

/// A port of the switch, and the VF at its other end.
struct SwitchPort {
    role: Role,
    mac: MacAddress,
    port: Port,
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {line}: {output:?}");
}

/// Creates a veth pair: one end is the VF, the other a port of the switch.
fn connect(role: Role) -> (Station, SwitchPort) {
    let (name, peer) = (role.name(), format!("x{}", role as u8));
    ip(&format!("link add {name} type veth peer name {peer}"));
    let open = |name: &str| {
        ip(&format!("link set {name} up"));
        let links = Netlink::open().unwrap().links().unwrap();
        let link = links.into_iter().find(|link| link.name == name).unwrap();
        (link.mac, Port::open(link.ifindex).unwrap())
    };
    let ((mac, port), (_, switch_side)) = (open(name), open(&peer));
    let station = Station { role, name: name.to_owned(), mac, port };
    (station, SwitchPort { role, mac, port: switch_side })
}

/// Forwards frames until `off` is set.
fn switch(ports: &[SwitchPort], forwards: Forwards, off: &AtomicBool) {
    while !off.load(Ordering::Relaxed) {
        for from in ports {
            while let Some(frame) = from.port.receive().unwrap() {
                let to = MacAddress(*frame.bytes.first_chunk().unwrap());
                let others = ports.iter().filter(|other| other.role != from.role);
                for other in others.filter(|other| forwards(from.role, to, other)) {
                    other.port.send(&frame.bytes).unwrap();
                }
            }
        }
        thread::yield_now();
    }
}

/// Runs the exchange on five VFs and evaluates it.
fn probe(forwards: Forwards, stop: bool) -> Result<Vec<Finding>, Error> {
    let vlans = Vlans { vlan: 100, other: 200 };
    let roles = topology(5);
    let (stop, off) = (AtomicBool::new(stop), AtomicBool::new(false));
    let watch = Watch { stop: &stop, progress: &|_| {}, warn: &|_| {} };
    let arrivals = Netns::create()?.inside(|| {
        let (stations, ports): (Vec<_>, Vec<_>) = roles.iter().copied().map(connect).unzip();
        thread::scope(|scope| {
            scope.spawn(|| switch(&ports, forwards, &off));
            let arrivals = exchange(&stations, 42, "pf0", watch);
            off.store(true, Ordering::Relaxed);
            arrivals
        })
    })?;
    let sensor = Some(Settings { vlan: 100, trust: true, ..Settings::default() });
    let evidence = Evidence { vlans, roles: roles.to_vec(), sensor, blocked: None, arrivals };
    Ok(evaluate(&evidence, Some("i40e"), None))
}

fn properties_with(findings: &[Finding], verdict: Verdict) -> Vec<&'static str> {
    findings
        .iter()
        .filter(|finding| finding.verdict == verdict)
        .map(|finding| finding.property)
        .collect()
}

/// Forwards a frame to its destination and to trusted VFs.
fn to_destination_and_trusted(to: MacAddress, at: &SwitchPort) -> bool {
    to == MacAddress([0xff; 6]) || to == at.mac || at.role.trusted()
}

#[test]
fn a_card_with_vlan_isolation_and_trust_has_all_properties_proven() {
    let isolating = |from: Role, to, at: &SwitchPort| {
        from.is_on_other_vlan() == at.role.is_on_other_vlan() && to_destination_and_trusted(to, at)
    };
    let findings = probe(isolating, false).unwrap();
    assert_eq!(properties_with(&findings, Verdict::Proven).len(), findings.len(), "{findings:#?}");
}

#[test]
fn a_card_that_mixes_vlans_has_isolation_refuted() {
    let findings = probe(|_, to, at| to_destination_and_trusted(to, at), false).unwrap();
    assert_eq!(properties_with(&findings, Verdict::Refuted), ["isolation"], "{findings:#?}");
}

#[test]
fn a_card_without_promiscuity_has_three_properties_refuted() {
    let destination_only = |from: Role, to, at: &SwitchPort| {
        from.is_on_other_vlan() == at.role.is_on_other_vlan()
            && (to == MacAddress([0xff; 6]) || to == at.mac)
    };
    let findings = probe(destination_only, false).unwrap();
    let refuted = ["multicast", "unknown-unicast", "others-unicast"];
    assert_eq!(properties_with(&findings, Verdict::Refuted), refuted, "{findings:#?}");
    assert_eq!(
        properties_with(&findings, Verdict::NotTestable),
        ["trust-matters"],
        "{findings:#?}"
    );
}

#[test]
fn a_probe_stops_when_the_stop_flag_is_set() {
    let stopped = probe(|_, _, _| true, true).unwrap_err();
    assert_eq!(stopped.line(), "the probe of PF pf0 was interrupted");
}
