//! What must be so on a machine before a sensor can start, looked at one by one: `runvfctl doctor`.
//!
//! Files are read below a root; what is in no file is a value of [`facts`], gathered before. So every check is a function of
//! recorded things, and the hosts in `doctor/hosts` are such records with what is to be said of them. Nothing is changed, and no
//! VF is tried out: a probe would disturb whoever has it.

mod config;
mod facts;
mod finding;
mod host;
mod machine;
mod network;
mod pf;
mod state;

use std::path::Path;

pub use self::finding::{Finding, Severity};

use self::machine::Machine;
use crate::host::Host;
use crate::kernel::sysfs::Sysfs;
use crate::policy::config::Config;

/// Looks at this machine.
pub fn doctor() -> Vec<Finding> {
    let sysfs = Sysfs(Host::default().sysfs);
    let facts = facts::gather(&sysfs);
    findings(&Machine::below(Path::new("/"), facts))
}

/// Every check there is, in the order in which they are to be mended.
fn findings(machine: &Machine) -> Vec<Finding> {
    let mut all = vec![
        host::kernel(machine),
        host::iommu(machine),
        host::cgroup(machine),
        host::sriov(machine),
        config::config(machine),
    ];
    for pool in Config::load(&machine.host).map(|config| config.pools).unwrap_or_default() {
        for named in &pool.pfs {
            all.extend(pf::checks(machine, named, &pool));
        }
    }
    all.extend([network::network_manager(machine), network::networkd(machine)]);
    all.extend([state::setup_unit(machine), state::gc_timer(machine)]);
    all.extend(state::claims(machine));
    all
}

#[cfg(test)]
mod recorded;
