//! The exchange over real interfaces, with a switch in the middle that does what a test wants of a card.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::exchange::{Station, exchange};
use super::options::Watch;
use super::testbed::Facts;
use super::topology::{Role, Vlans, topology};
use super::verdict::{Finding, Verdict, evaluate};
use crate::error::Error;
use crate::kernel::mac::MacAddress;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::Netns;
use crate::kernel::packet::Port;
use crate::kernel::vf_settings::Settings;

/// Whether a card hands a frame for this address, from the first, to the second.
type Passes = fn(Role, MacAddress, &Socket) -> bool;

/// A place in the switch, and who is plugged in there.
struct Socket {
    role: Role,
    mac: MacAddress,
    port: Port,
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {line}: {output:?}");
}

fn plug_in(role: Role) -> (Station, Socket) {
    let (name, other) = (role.name(), format!("x{}", role as u8));
    ip(&format!("link add {name} type veth peer name {other}"));
    let open = |name: &str| {
        ip(&format!("link set {name} up"));
        let links = Netlink::open().unwrap().links().unwrap();
        let link = links.into_iter().find(|link| link.name == name).unwrap();
        (link.mac, Port::open(link.ifindex).unwrap())
    };
    let ((mac, port), (_, inside)) = (open(name), open(&other));
    let station = Station { role, name: name.to_owned(), mac, port };
    (station, Socket { role, mac, port: inside })
}

fn switch(sockets: &[Socket], passes: Passes, off: &AtomicBool) {
    while !off.load(Ordering::Relaxed) {
        for from in sockets {
            while let Some(frame) = from.port.receive().unwrap() {
                let to = MacAddress(*frame.bytes.first_chunk().unwrap());
                let others = sockets.iter().filter(|other| other.role != from.role);
                for other in others.filter(|other| passes(from.role, to, other)) {
                    other.port.send(&frame.bytes).unwrap();
                }
            }
        }
        thread::yield_now();
    }
}

fn tried(passes: Passes, stop: bool) -> Result<Vec<Finding>, Error> {
    let vlans = Vlans { vlan: 100, other: 200 };
    let roles = topology(5);
    let (stop, off) = (AtomicBool::new(stop), AtomicBool::new(false));
    let watch = Watch { stop: &stop, tell: &|_| {}, warn: &|_| {} };
    let seen = Netns::create()?.inside(|| {
        let (stations, sockets): (Vec<_>, Vec<_>) = roles.iter().copied().map(plug_in).unzip();
        thread::scope(|scope| {
            scope.spawn(|| switch(&sockets, passes, &off));
            let seen = exchange(&stations, 42, "pf0", watch);
            off.store(true, Ordering::Relaxed);
            seen
        })
    })?;
    let sensor = Some(Settings { vlan: 100, trust: true, ..Settings::default() });
    let facts = Facts { vlans, roles: roles.to_vec(), sensor, blocked: None, seen };
    Ok(evaluate(&facts, Some("i40e"), None))
}

fn those(findings: &[Finding], verdict: Verdict) -> Vec<&'static str> {
    findings.iter().filter(|one| one.verdict == verdict).map(|one| one.property).collect()
}

/// To whom it is for, and to whoever may be promiscuous.
fn by_address(to: MacAddress, at: &Socket) -> bool {
    to == MacAddress([0xff; 6]) || to == at.mac || at.role.trusted()
}

#[test]
fn a_card_that_keeps_vlans_apart_and_trust_in_mind_has_all_proven() {
    let apart =
        |from: Role, to, at: &Socket| from.is_other() == at.role.is_other() && by_address(to, at);
    let findings = tried(apart, false).unwrap();
    assert_eq!(those(&findings, Verdict::Proven).len(), findings.len(), "{findings:#?}");
}

#[test]
fn a_card_that_mixes_vlans_is_found_out() {
    let findings = tried(|_, to, at| by_address(to, at), false).unwrap();
    assert_eq!(those(&findings, Verdict::Refuted), ["isolation"], "{findings:#?}");
}

#[test]
fn a_card_that_knows_no_promiscuity_is_found_out() {
    let own = |from: Role, to, at: &Socket| {
        from.is_other() == at.role.is_other() && (to == MacAddress([0xff; 6]) || to == at.mac)
    };
    let findings = tried(own, false).unwrap();
    let refuted = ["multicast", "unknown-unicast", "others-unicast"];
    assert_eq!(those(&findings, Verdict::Refuted), refuted, "{findings:#?}");
    assert_eq!(those(&findings, Verdict::NotTestable), ["trust-matters"], "{findings:#?}");
}

#[test]
fn who_is_told_to_stop_stops() {
    let stopped = tried(|_, _, _| true, true).unwrap_err();
    assert_eq!(stopped.line(), "the probe of PF pf0 was interrupted");
}
