//! The demo: the sensors of three tenants on one SR-IOV host, and the frames that each of them saw.
//! On the X710, a VF that was set up by hand without trust is beside them.
//!
//! The exit status is 0 only if each sensor got all frames of its tenant's VLAN and no others, and
//! the VF without trust got no frame for an unknown address.

mod by_hand;
mod report;
mod sensor;
mod tenants;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use lab::traffic::{Class, Mac, Traffic};
use lab::{HostKind, Lab, Nic, Result};

use crate::by_hand::ByHand;
use crate::report::{Column, report};
use crate::tenants::{ATTACKED_VLAN, ATTACKS, FRAMES, TENANTS, UNASSIGNED_VLAN};

/// The sensors of three tenants on one emulated SR-IOV host
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    kind: HostKind,
}

fn main() -> ExitCode {
    match demo(Arguments::parse().kind) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo, and returns whether the result is as it must be.
fn demo(kind: HostKind) -> Result<bool> {
    let started = Instant::now();
    let step = |what: &str| {
        let _ = writeln!(std::io::stderr(), "[{:>4} s] {what}", started.elapsed().as_secs());
    };
    step("restoring the emulated SR-IOV host (its first build takes some minutes)");
    let lab = Lab::restore_with(kind)?;
    step("installing runvf and preparing the PF with `runvfctl setup`");
    lab.install_runvf(kind.nic)?;
    lab.write("/etc/runvf/config.toml", "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n")?;
    lab.ok("runvfctl setup")?;

    let mut stations = Vec::new();
    for tenant in &TENANTS {
        step(&format!(
            "{}: starting {} on VLAN {} with `{}`",
            tenant.name, tenant.sensor, tenant.vlan, tenant.command
        ));
        stations.push(sensor::start(&lab, tenant)?);
    }
    // On the 82576, the PF's promiscuity opens all VFs, trusted or not.
    let by_hand = if kind.nic == Nic::IntelX710 {
        step(&format!("by hand, without trust: a promiscuous VF on VLAN {}", by_hand::VLAN));
        Some(ByHand::start(&lab)?)
    } else {
        None
    };
    show(&lab.ok("runvfctl status")?.stdout);

    let traffic = traffic(&stations, by_hand.as_ref().map(|vf| vf.station));
    let count: u32 = traffic.flows().iter().map(|flow| flow.count).sum();
    step(&format!("sending {count} frames from the mirror port"));
    traffic.play(&lab, "mirror0")?;
    step("stopping the sensors and reading their captures");
    let mut columns = Vec::new();
    for tenant in &TENANTS {
        let (title, vlan) = (format!("{} saw", tenant.name), tenant.vlan);
        columns.push(Column { title, vlan, findings: sensor::finish(&lab, tenant, &traffic)? });
    }
    if let Some(by_hand) = by_hand {
        let (title, vlan) = ("no trust: saw".to_owned(), by_hand::VLAN);
        columns.push(Column { title, vlan, findings: by_hand.finish(&traffic)? });
    }
    let status = lab.ok("runvfctl status")?.stdout;
    let clean = lab.sh("ip link show pf0 | grep -E 'vf .*(vlan|trust on)'")?.status == 1
        && lab.ok("ls -A /run/runvf/claims")?.text().is_empty();
    show(&status);
    let exact = report(&traffic, &columns);
    show(match (exact, clean) {
        (true, true) => "isolation and delivery are exact; all VFs are clean and free again",
        (false, true) => "isolation or delivery is NOT exact",
        (_, false) => "a VF was not clean after its release",
    });
    Ok(exact && clean)
}

fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "\n{text}");
}

/// All classes on each tenant's VLAN, on a VLAN without a tenant, and untagged.
///
/// Unicast frames go to the tenant's VF on the tenant's VLAN, and to all VFs where no VF listens.
/// `by_hand` is the VF without trust, which gets unicast frames of its own, too.
fn traffic(stations: &[Mac], by_hand: Option<Mac>) -> Traffic {
    let mut traffic = Traffic::new();
    if let Some(station) = by_hand {
        traffic = traffic.send(Some(by_hand::VLAN), Class::Unicast(station), FRAMES);
    }
    for (tenant, station) in TENANTS.iter().zip(stations) {
        traffic = traffic.send_all(&[Some(tenant.vlan)], &[*station], FRAMES);
    }
    traffic = traffic.send_all(&[Some(UNASSIGNED_VLAN), None], stations, FRAMES);
    for vlan in [ATTACKED_VLAN, UNASSIGNED_VLAN] {
        traffic = traffic.send(Some(vlan), Class::Pattern("runvf-evil".to_owned()), ATTACKS);
    }
    for tenant in &TENANTS {
        traffic = traffic.send(Some(tenant.vlan), Class::Pattern("runvf-demo-end".to_owned()), 1);
    }
    traffic
}
