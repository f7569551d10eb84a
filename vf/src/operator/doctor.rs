//! `runvfctl doctor`: checks the host for everything that a sensor needs before it can start.
//!
//! Files are read below a root directory. Values that are in no file are gathered first
//! ([`facts`]). Every check is therefore a pure function of recorded data, and `doctor/hosts` holds
//! recorded hosts with their expected findings. The doctor changes nothing and does not test any
//! VF, because a test would disturb the container that uses the VF.

mod config;
mod facts;
mod finding;
mod host;
mod known_bad;
mod machine;
mod network;
mod pf;
mod state;
mod vf_driver;

use std::path::Path;

pub use self::finding::{Finding, Severity};

use self::machine::Machine;
use crate::host::Host;
use crate::kernel::sysfs::Sysfs;
use crate::policy::config::Config;

/// Checks this host.
pub fn doctor() -> Vec<Finding> {
    let sysfs = Sysfs(Host::default().sysfs);
    let facts = facts::gather(&sysfs);
    findings(&Machine::with_root(Path::new("/"), facts))
}

/// Runs all checks. An operator should fix the findings in this order.
fn findings(machine: &Machine) -> Vec<Finding> {
    let mut all = vec![
        host::kernel(machine),
        host::iommu(machine),
        host::cgroup(machine),
        host::sriov(machine),
        config::config(machine),
    ];
    for pool in Config::load(&machine.host).map(|config| config.pools).unwrap_or_default() {
        for pf_name in &pool.pfs {
            all.extend(pf::checks(machine, pf_name, &pool));
        }
    }
    all.extend([network::network_manager(machine), network::networkd(machine)]);
    all.extend([state::setup_unit(machine), state::gc_timer(machine), state::monitor(machine)]);
    all.extend(state::claims(machine));
    all.extend(state::audit_spool(machine));
    all
}

#[cfg(test)]
mod tests;
