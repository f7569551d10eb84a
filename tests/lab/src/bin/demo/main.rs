//! The demo: Suricata and Argus of three tenants on one SR-IOV host, and what each of them saw.
//!
//! The exit status is 0 only if each sensor got all frames of its tenant's VLAN and no others.

mod argus;
mod report;
mod suricata;
mod tenants;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use lab::traffic::{Class, Mac, Traffic};
use lab::{Lab, Result};

use crate::report::report;
use crate::tenants::{ATTACKED_VLAN, ATTACKS, FRAMES, TENANTS, UNASSIGNED_VLAN};

fn main() -> ExitCode {
    match demo() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo, and returns whether the result is as it must be.
fn demo() -> Result<bool> {
    let started = Instant::now();
    let step = |what: &str| {
        let _ = writeln!(std::io::stderr(), "[{:>4} s] {what}", started.elapsed().as_secs());
    };
    step("restoring the emulated SR-IOV host (its first build takes some minutes)");
    let lab = Lab::restore()?;
    step("installing runvf");
    lab.install_runvf()?;
    lab.write("/etc/runvf/config.toml", "[[pool]]\nname = \"sensors\"\npfs = [\"pf0\"]\n")?;

    let mut stations = Vec::new();
    for tenant in &TENANTS {
        step(&format!(
            "{}: starting Suricata and Argus on VLAN {} with `{}`",
            tenant.name, tenant.vlan, tenant.command
        ));
        stations.push(suricata::start(&lab, tenant)?);
        argus::start(&lab, tenant)?;
    }
    show(&lab.ok("runvfctl status")?.stdout);

    let traffic = traffic(&stations);
    let count: u32 = traffic.flows().iter().map(|flow| flow.count).sum();
    step(&format!("sending {count} frames from the mirror port"));
    traffic.play(&lab, "mirror0")?;
    step("stopping the sensors and reading what they found");
    let mut findings = Vec::new();
    for tenant in &TENANTS {
        let alerts = suricata::finish(&lab, tenant, &traffic)?;
        findings.push((alerts, argus::finish(&lab, tenant)?));
    }
    let status = lab.ok("runvfctl status")?.stdout;
    let clean = lab.sh("ip link show pf0 | grep -E 'vf .*(vlan|trust on)'")?.status == 1
        && lab.ok("ls -A /run/runvf/claims")?.text().is_empty();
    show(&status);
    let exact = report(&traffic, &findings);
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

/// Broadcasts and unknown unicast on each tenant's VLAN, on a VLAN without a tenant, and untagged.
///
/// On the latter two, also unicast to the VFs of the tenants. On a tenant's VLAN, the 82576 would
/// deliver such a frame to only one of the tenant's two sensors.
fn traffic(stations: &[Mac]) -> Traffic {
    let mut traffic = Traffic::new();
    for tenant in &TENANTS {
        traffic = traffic.send_all(&[Some(tenant.vlan)], &[], FRAMES);
    }
    traffic = traffic.send_all(&[Some(UNASSIGNED_VLAN), None], stations, FRAMES);
    for vlan in [ATTACKED_VLAN, UNASSIGNED_VLAN] {
        traffic = traffic.send(Some(vlan), Class::Pattern("runvf-evil".to_owned()), ATTACKS);
    }
    traffic
}
