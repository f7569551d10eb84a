//! Checks of one PF of the configuration.

use std::fmt::Write;

use super::facts::PfFacts;
use super::finding::{Finding, Severity};
use super::known_bad::{KnownBad, known_bad};
use super::machine::Machine;
use super::vf_driver::vf_driver;
use crate::nic::create_vfs::wanted_vfs;
use crate::nic::driver::{PromiscNeeds, driver};
use crate::nic::free_vfs::reserved_for;
use crate::nic::pf::Pf;
use crate::nic::promisc::{self, find_obstacle};
use crate::policy::config::{Carrier, Pool, Promisc};

/// The PF that is checked, with everything that the checks read.
struct Subject<'a> {
    machine: &'a Machine,
    pool: &'a Pool,
    pf: Pf,
    driver: Option<String>,
    facts: &'a PfFacts,
}

/// Runs all checks of the PF that the configuration calls `name`.
pub(super) fn checks(machine: &Machine, name: &str, pool: &Pool) -> Vec<Finding> {
    const CHECK: &str = "pf";
    let pf = match Pf::find(&machine.sysfs, name, pool) {
        Ok(pf) => pf,
        Err(error) => {
            let remedy = error.hint().unwrap_or_default();
            return vec![Finding::failure(CHECK, error.to_string(), remedy).of(name)];
        }
    };
    let Some(facts) = machine.facts.get(&pf.name) else {
        return vec![
            Finding::unknown(CHECK, "the kernel reports no netdev with this name").of(name),
        ];
    };
    let driver = machine.sysfs.driver(&pf.pci);
    let subject = Subject { machine, pool, pf, driver, facts };
    let all: [fn(&Subject<'_>) -> Finding; 8] =
        [pf_driver, link, vfs, driver_of_vfs, trust, promiscuity, eswitch, lro];
    let findings = all.iter().map(|check| check(&subject)).chain(port(&subject));
    findings.map(|finding| finding.of(name)).collect()
}

fn pf_driver(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "driver";
    let name = subject.driver.as_deref().unwrap_or("none");
    let PfFacts { version, firmware, .. } = subject.facts;
    let vf_driver = driver(subject.driver.as_deref()).vf;
    // i40e and ice report the version of the NVM image.
    let firmware_name = if vf_driver == Some("iavf") { "firmware (NVM)" } else { "firmware" };
    let evidence = format!("{name} {version}, {firmware_name} {firmware}");
    let vf_device = subject.machine.sysfs.vf_device(&subject.pf.pci);
    match (vf_driver, known_bad(name, vf_device.as_deref(), version, firmware)) {
        (_, Some(KnownBad { why, remedy })) => {
            Finding::warning(CHECK, format!("{evidence}: {why}"), remedy)
        }
        (Some(_), None) => Finding::ok(CHECK, evidence),
        (None, None) => Finding::warning(
            CHECK,
            format!("{evidence}: its support for VFs is not known"),
            "use a NIC with the driver igb, ixgbe, i40e, ice, mlx5_core or bnxt_en",
        ),
    }
}

fn link(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "link";
    let PfFacts { up, carrier, mtu, .. } = subject.facts;
    let name = &subject.pf.name;
    match (up, carrier) {
        (true, true) if subject.pool.mtu.is_some_and(|wanted| wanted > *mtu) => Finding::warning(
            CHECK,
            format!("up, carrier, MTU {mtu}: longer frames are dropped"),
            format!("run `ip link set {name} mtu {}`", subject.pool.mtu.unwrap_or_default()),
        ),
        (true, true) => Finding::ok(CHECK, format!("up, carrier, MTU {mtu}")),
        (false, _) => Finding::failure(
            CHECK,
            "down",
            format!("run `ip link set {name} up` or `runvfctl setup`"),
        ),
        (true, false) => {
            let remedy = "check the cable and the mirror session of the switch";
            let finding = Finding::failure(CHECK, "up, no carrier", remedy);
            match subject.pool.carrier {
                Carrier::Require => finding,
                Carrier::Ignore => Finding { severity: Severity::Warning, ..finding },
            }
        }
    }
}

/// A PF may be a port of a bridge or a bond: the settings of its VFs still go through its own
/// netdev (`do_setvfinfo`, `net/core/rtnetlink.c`). `None`: it is no port.
fn port(subject: &Subject<'_>) -> Option<Finding> {
    const CHECK: &str = "port";
    let sysfs = &subject.machine.sysfs;
    let master = sysfs.master(&subject.pf.pci, &subject.pf.name)?;
    Some(match sysfs.is_bond(&master) {
        false => Finding::ok(CHECK, format!("a port of {master}")),
        true => Finding::warning(
            CHECK,
            format!(
                "a port of the bond {master}: a sensor misses the frames that arrive at its other ports"
            ),
            format!("give each port of {master} a pool and a sensor of its own"),
        ),
    })
}

fn vfs(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "vfs";
    let sysfs = &subject.machine.sysfs;
    let vfs = sysfs.virtfns(&subject.pf.pci);
    let have = vfs.len();
    let wanted = wanted_vfs(&subject.pf, subject.pool);
    // A read of driver_override waits for the VF's driver, which may hang while it has no netdev.
    let may_read = |vf: &str| sysfs.driver(vf).is_none() || !sysfs.netdevs_or_empty(vf).is_empty();
    let is_reserved = |vf: &str| may_read(vf) && reserved_for(sysfs, vf).is_some();
    let reserved = vfs.iter().filter(|(_, vf)| is_reserved(vf)).count();
    let is_parked = |vf: &str| sysfs.driver(vf).is_none() && !is_reserved(vf);
    let parked = match sysfs.pf_autoprobes(&subject.pf.pci) {
        true => 0,
        false => vfs.iter().filter(|(_, vf)| is_parked(vf)).count(),
    };
    let mut evidence = format!("{have} of {}", subject.pf.total);
    if parked > 0 {
        let _ = write!(evidence, ", {parked} parked without driver");
    }
    if reserved > 0 {
        let _ = write!(evidence, ", {reserved} reserved for another driver by driver_override");
    }
    match have {
        0 => Finding::warning(
            CHECK,
            format!("{evidence}: the first attach has to create them"),
            "run `runvfctl setup`",
        ),
        have if subject.pool.vfs.is_some() && have != wanted => Finding::warning(
            CHECK,
            format!("{evidence}, but pool `{}` requires {wanted}", subject.pool.name),
            format!(
                "stop its sensors, run `echo 0 > /sys/class/net/{}/device/sriov_numvfs` and `runvfctl setup`",
                subject.pf.name
            ),
        ),
        _ if reserved == have => Finding::warning(
            CHECK,
            evidence,
            "remove the reservation of a VF: run `echo > /sys/bus/pci/devices/VF/driver_override`",
        ),
        _ => Finding::ok(CHECK, evidence),
    }
}

fn driver_of_vfs(subject: &Subject<'_>) -> Finding {
    vf_driver(subject.machine, subject.driver.as_deref())
}

/// Reports `unknown` while no VF is trusted. A test on a free VF could hit a VF that is just being
/// attached, and i40e and ice would reset it.
fn trust(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "trust";
    match subject.facts.trusted {
        0 => Finding::unknown(
            CHECK,
            format!(
                "no VF is trusted now; attach reads the trust setting back, `runvfctl probe {}` tests it",
                subject.pf.name
            ),
        ),
        count => Finding::ok(CHECK, format!("trusted VFs: {count}")),
    }
}

fn promiscuity(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "promisc";
    let facts = promisc::Facts {
        driver: subject.driver.clone(),
        vf_device: subject.machine.sysfs.vf_device(&subject.pf.pci),
        promisc: subject.facts.promisc,
        true_flag: subject.facts.true_flag.clone(),
    };
    let promisc_needs = driver(subject.driver.as_deref()).promisc;
    match (find_obstacle(&subject.pf.name, &facts), subject.pool.promisc) {
        (None, _) if promisc_needs == PromiscNeeds::PfPromiscOnly => Finding::ok(
            CHECK,
            "the PF is promiscuous, which is enough for its VFs (tested on an emulated card only)",
        ),
        (None, _) => Finding::ok(CHECK, "VFs can be promiscuous"),
        (Some(found), Promisc::Require) => Finding::failure(CHECK, found.why, found.remedy),
        (Some(found), Promisc::BestEffort) => Finding::warning(CHECK, found.why, found.remedy),
    }
}

fn eswitch(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "eswitch";
    match subject.facts.eswitch.as_deref() {
        Some("legacy") => Finding::ok(CHECK, "legacy"),
        None => Finding::unknown(CHECK, "devlink reports no mode"),
        Some(other) => Finding::failure(
            CHECK,
            format!("{other}: VFs accept neither VLAN nor trust"),
            format!("run `devlink dev eswitch set pci/{} mode legacy`", subject.pf.pci),
        ),
    }
}

/// LRO of a PF concerns its VFs because some cards have one setting for the whole card. (The kernel
/// turns LRO off when forwarding is enabled.)
fn lro(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "lro";
    match subject.facts.lro {
        Some(false) => Finding::ok(CHECK, "off"),
        None => Finding::unknown(CHECK, "the kernel does not report it"),
        Some(true) => Finding::warning(
            CHECK,
            "on: frames may be merged before a sensor sees them",
            format!("run `ethtool -K {} lro off`", subject.pf.name),
        ),
    }
}
