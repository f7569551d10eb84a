//! Network managers, which take any interface that shows up for theirs.

use super::finding::Finding;
use super::machine::Machine;
use crate::error::Error;
use crate::nic::pf::Pf;
use crate::nic::udev::{RULES, has_rules, untold};
use crate::policy::config::Config;

const NETWORK: [&str; 3] =
    ["/usr/lib/systemd/network", "/lib/systemd/network", "/etc/systemd/network"];

pub(super) fn network_manager(machine: &Machine) -> Finding {
    kept_off(machine, "networkmanager", "/run/NetworkManager", &[])
}

/// By the property that the udev rule sets.
pub(super) fn networkd(machine: &Machine) -> Finding {
    kept_off(machine, "networkd", "/run/systemd/netif", &["00-runvf.network", "00-runvf.link"])
}

/// `needs`: files of its own that it must have besides the rules of udev.
fn kept_off(machine: &Machine, check: &'static str, runs: &str, needs: &[&str]) -> Finding {
    if !machine.has(runs) {
        return Finding::ok(check, "does not run");
    }
    let absent =
        |file: &&&str| !NETWORK.iter().any(|folder| machine.has(&format!("{folder}/{file}")));
    let rules = (!has_rules(&machine.root)).then_some(RULES);
    let missing: Vec<&str> =
        rules.into_iter().chain(needs.iter().filter(absent).copied()).collect();
    if !missing.is_empty() {
        return Finding::warning(
            check,
            format!("runs, and may take VFs for its own: {} is not installed", missing.join(", ")),
            "`make install`, and `udevadm control --reload`",
        );
    }
    match untold_vfs(machine) {
        0 => Finding::ok(check, "runs, and is kept off VFs"),
        count => Finding::warning(
            check,
            format!("runs, and may have VFs for its own: {count} of them it saw before {RULES}"),
            "`runvfctl setup`",
        ),
    }
}

fn untold_vfs(machine: &Machine) -> usize {
    let pools = Config::load(&machine.host).map(|config| config.pools).unwrap_or_default();
    let named = pools.iter().flat_map(|pool| pool.pfs.iter().map(move |pf| (pf, pool)));
    let pfs = named.map(|(named, pool)| Pf::find(&machine.sysfs, named, pool));
    let found = pfs.filter_map(Result::<Pf, Error>::ok);
    found.map(|pf| untold(&machine.root, &machine.sysfs, &pf.pci).len()).sum()
}
