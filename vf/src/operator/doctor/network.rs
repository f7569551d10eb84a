//! Checks of network managers, which configure every netdev that appears unless a rule excludes it.

use super::finding::Finding;
use super::machine::Machine;
use crate::error::Error;
use crate::nic::pf::Pf;
use crate::nic::udev::{RULES, has_rules, unmarked_vfs};
use crate::policy::config::Config;

/// Directories of systemd-networkd's files (systemd.network(5)).
const NETWORKD_FOLDERS: [&str; 3] =
    ["/usr/lib/systemd/network", "/lib/systemd/network", "/etc/systemd/network"];

pub(super) fn network_manager(machine: &Machine) -> Finding {
    ignores_vfs(machine, "networkmanager", "/run/NetworkManager", &[])
}

/// `00-runvf.network` matches the property that the udev rule sets.
pub(super) fn networkd(machine: &Machine) -> Finding {
    ignores_vfs(machine, "networkd", "/run/systemd/netif", &["00-runvf.network", "00-runvf.link"])
}

/// Checks that a network manager ignores VFs.
///
/// `run_folder` exists while the network manager runs. `files` are its own files that it needs in
/// addition to the udev rules.
fn ignores_vfs(
    machine: &Machine,
    check: &'static str,
    run_folder: &str,
    files: &[&str],
) -> Finding {
    if !machine.has(run_folder) {
        return Finding::ok(check, "not running");
    }
    let absent = |file: &&&str| {
        !NETWORKD_FOLDERS.iter().any(|folder| machine.has(&format!("{folder}/{file}")))
    };
    let rules = (!has_rules(&machine.root)).then_some(RULES);
    let missing: Vec<&str> =
        rules.into_iter().chain(files.iter().filter(absent).copied()).collect();
    if !missing.is_empty() {
        return Finding::warning(
            check,
            format!("running, and may configure VFs: {} is not installed", missing.join(", ")),
            "run `make install` and `udevadm control --reload`",
        );
    }
    match count_unmarked_vfs(machine) {
        0 => Finding::ok(check, "running, and ignores VFs"),
        count => Finding::warning(
            check,
            format!("running, and may manage {count} VFs that are older than {RULES}"),
            "run `runvfctl setup`",
        ),
    }
}

/// Counts the VFs of configured PFs that udev has not marked.
fn count_unmarked_vfs(machine: &Machine) -> usize {
    let pools = Config::load(&machine.host).map(|config| config.pools).unwrap_or_default();
    let names = pools.iter().flat_map(|pool| pool.pfs.iter().map(move |name| (name, pool)));
    let pfs = names.map(|(name, pool)| Pf::find(&machine.sysfs, name, pool));
    let found = pfs.filter_map(Result::<Pf, Error>::ok);
    found.map(|pf| unmarked_vfs(&machine.root, &machine.sysfs, &pf.pci).len()).sum()
}
