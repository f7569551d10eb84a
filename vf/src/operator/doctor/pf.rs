//! A PF that the configuration names.

use super::facts::PfFacts;
use super::finding::{Finding, Severity};
use super::machine::Machine;
use crate::nic::create_vfs::wanted;
use crate::nic::driver::{PromiscBy, driver};
use crate::nic::pf::Pf;
use crate::nic::promisc::{self, obstacle};
use crate::policy::config::{Carrier, Pool, Promisc};

/// Everything there is to look at of one PF.
struct Subject<'a> {
    machine: &'a Machine,
    pool: &'a Pool,
    pf: Pf,
    driver: Option<String>,
    facts: &'a PfFacts,
}

pub(super) fn checks(machine: &Machine, named: &str, pool: &Pool) -> Vec<Finding> {
    const CHECK: &str = "pf";
    let pf = match Pf::find(&machine.sysfs, named, pool) {
        Ok(pf) => pf,
        Err(error) => {
            let mend = error.hint().unwrap_or_default();
            return vec![Finding::failure(CHECK, error.to_string(), mend).of(named)];
        }
    };
    let Some(facts) = machine.facts.get(&pf.name) else {
        return vec![Finding::unknown(CHECK, "the kernel tells nothing of it").of(named)];
    };
    let driver = machine.sysfs.driver(&pf.pci);
    let subject = Subject { machine, pool, pf, driver, facts };
    let all: [fn(&Subject<'_>) -> Finding; 8] =
        [known_driver, link, vfs, vf_driver, trust, promiscuity, eswitch, lro];
    all.iter().map(|check| check(&subject).of(named)).collect()
}

fn known_driver(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "driver";
    let name = subject.driver.as_deref().unwrap_or("none");
    let PfFacts { version, firmware, .. } = subject.facts;
    let evidence = format!("{name} {version}, firmware {firmware}");
    match driver(subject.driver.as_deref()).vf {
        Some(_) => Finding::ok(CHECK, evidence),
        None => Finding::warning(
            CHECK,
            format!("{evidence}: what it does for VFs is not known"),
            "use one of igb, ixgbe, i40e, ice, mlx5_core and bnxt_en",
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
            format!("up, with a carrier, MTU {mtu}: longer frames do not get in"),
            format!("`ip link set {name} mtu {}`", subject.pool.mtu.unwrap_or_default()),
        ),
        (true, true) => Finding::ok(CHECK, format!("up, with a carrier, MTU {mtu}")),
        (false, _) => {
            Finding::failure(CHECK, "down", format!("`ip link set {name} up`, or `runvfctl setup`"))
        }
        (true, false) => {
            let mend = "check the cable, and the switch's mirror session";
            let finding = Finding::failure(CHECK, "up, without a carrier", mend);
            match subject.pool.carrier {
                Carrier::Require => finding,
                Carrier::Ignore => Finding { severity: Severity::Warning, ..finding },
            }
        }
    }
}

fn vfs(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "vfs";
    let have = subject.machine.sysfs.virtfns(&subject.pf.pci).len();
    let wanted = wanted(&subject.pf, subject.pool);
    let evidence = format!("{have} of {}", subject.pf.total);
    match have {
        0 => Finding::warning(
            CHECK,
            format!("{evidence}: the first sensor will wait for them"),
            "`runvfctl setup`",
        ),
        have if subject.pool.vfs.is_some() && have != wanted => Finding::warning(
            CHECK,
            format!("{evidence}, and pool `{}` asks for {wanted}", subject.pool.name),
            format!(
                "stop its sensors, `echo 0 > /sys/class/net/{}/device/sriov_numvfs`, and `runvfctl setup`",
                subject.pf.name
            ),
        ),
        _ => Finding::ok(CHECK, evidence),
    }
}

/// Loaded, built in, or a file that udev will load.
fn vf_driver(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "vf-driver";
    let Some(name) = driver(subject.driver.as_deref()).vf else {
        return Finding::unknown(CHECK, "which one its VFs need is not known");
    };
    let machine = subject.machine;
    let blocked = blocked(machine, name);
    if let Some(file) = blocked.filter(|_| !machine.has(&format!("/sys/module/{name}"))) {
        let mend = format!("take {name} out of {file}, and `modprobe {name}`");
        return Finding::failure(CHECK, format!("{name} is kept out by {file}"), mend);
    }
    let release = machine.read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let listed = |list: &str| {
        let text = machine.read(&format!("/lib/modules/{release}/{list}")).unwrap_or_default();
        let file = format!("/{name}.ko");
        text.lines().any(|line| line.split(':').next().is_some_and(|path| path.contains(&file)))
    };
    if machine.has(&format!("/sys/module/{name}")) {
        return Finding::ok(CHECK, format!("{name} is loaded"));
    }
    if listed("modules.dep") || listed("modules.builtin") {
        return Finding::ok(CHECK, format!("{name} is installed"));
    }
    Finding::failure(
        CHECK,
        format!("{name} is neither loaded nor below /lib/modules/{release}"),
        format!(
            "install the kernel's package that has {name} (Ubuntu: linux-modules-extra), and `modprobe {name}`"
        ),
    )
}

/// The file of modprobe.d(5) that keeps a module from being loaded for a device.
fn blocked(machine: &Machine, module: &str) -> Option<String> {
    for folder in ["/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"] {
        for entry in std::fs::read_dir(machine.at(folder)).into_iter().flatten().flatten() {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let text = machine.read(&path).unwrap_or_default();
            let keeps_out = |line: &str| {
                let words: Vec<&str> = line.split_whitespace().collect();
                matches!(words[..], ["blacklist", name] if name == module)
                    || matches!(words[..], ["install", name, "/bin/false" | "/bin/true", ..] if name == module)
            };
            if path.ends_with(".conf") && text.lines().any(keeps_out) {
                return Some(path);
            }
        }
    }
    None
}

/// A VF that nobody has could be tried; but it may be on its way to somebody, and on i40e and ice it would be reset.
fn trust(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "trust";
    match subject.facts.trusted {
        0 => Finding::unknown(
            CHECK,
            format!(
                "no VF is trusted now; each attach reads it back, and `runvfctl probe {}` tries it out",
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
    let by = driver(subject.driver.as_deref()).promisc;
    match (obstacle(&subject.pf.name, &facts), subject.pool.promisc) {
        (None, _) if by == PromiscBy::PfAlone => {
            Finding::ok(CHECK, "by the PF, which is promiscuous (seen on an emulated card only)")
        }
        (None, _) => Finding::ok(CHECK, "nothing is in the way of promiscuous VFs"),
        (Some(found), Promisc::Require) => Finding::failure(CHECK, found.why, found.mend),
        (Some(found), Promisc::BestEffort) => Finding::warning(CHECK, found.why, found.mend),
    }
}

fn eswitch(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "eswitch";
    match subject.facts.eswitch.as_deref() {
        Some("legacy") => Finding::ok(CHECK, "legacy"),
        None => Finding::unknown(CHECK, "devlink tells no mode"),
        Some(other) => Finding::failure(
            CHECK,
            format!("{other}: VFs take neither VLAN nor trust"),
            format!("`devlink dev eswitch set pci/{} mode legacy`", subject.pf.pci),
        ),
    }
}

/// LRO on a PF is no matter of its VFs, but on some cards it is one setting for all (and forwarding turns it off under way).
fn lro(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "lro";
    match subject.facts.lro {
        Some(false) => Finding::ok(CHECK, "off"),
        None => Finding::unknown(CHECK, "the kernel does not tell"),
        Some(true) => Finding::warning(
            CHECK,
            "on: frames may be merged before a sensor sees them",
            format!("`ethtool -K {} lro off`", subject.pf.name),
        ),
    }
}
