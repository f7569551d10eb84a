//! The life of an SR-IOV virtual function (VF): find, claim, configure through its physical function (PF), hand over to
//! a container's network namespace, take back, scrub.
//!
//! A front door (OCI hook, OCI runtime, operator's command) uses it in this order:
//!
//! 1. [`Request::from_annotations`]: what the container asks for, or `None`.
//! 2. [`authorise`]: the same request against `/etc/runvf/config.toml`, which says what whose it is. Nothing has been touched
//!    so far. What a front door refuses by itself goes through [`refuse`], so that it is on record as well.
//! 3. [`Grant::attach`], once the container's init process exists and waits: on return every VF is up inside.
//! 4. [`check_attached`], right before that process may run the user's program.
//! 5. [`release`], when the container is gone.
//!
//! The library knows nothing of OCI, of engines or of command lines.

mod attach;
mod audit;
mod busy;
mod claim;
mod config;
mod configure;
mod counters;
mod creation;
mod doctor;
mod driver;
mod error;
mod fault;
#[cfg(test)]
mod hostile;
mod inventory;
mod kernel;
mod lock;
mod mac;
mod measure;
#[cfg(test)]
mod model;
mod netdev;
mod plan;
mod policy;
mod probe;
mod process;
mod promisc;
mod reconcile;
mod release;
mod repair;
mod request;
mod scrub;
mod setup;
mod spelling;
mod status;
mod survey;
mod udev;
mod whereabouts;
mod whose;

use std::path::{Path, PathBuf};

pub use attach::{Grant, authorise, check_attached};
pub use audit::{Audit, Entry, Event, audit, refuse};
pub use claim::{Claim, State};
pub use config::{
    Carrier, Config, MANUAL, OnLoss, Pool, Profile, Promisc, Scrub, Tenant, VlanRange,
    folders_are_roots, manages,
};
pub use counters::{Counted, Counter};
pub use doctor::{Finding, Severity, doctor};
pub use error::Error;
pub use kernel::netns::{is_host_netns, loopback_up};
pub use kernel::sysfs::is_pci_address;
pub use mac::MacAddress;
#[doc(hidden)]
pub use measure::claim_and_forget;
pub use plan::Settings;
pub use probe::{Finding as ProbeFinding, Probe, ProbeOptions, ProbeVf, Verdict, Watch, probe};
pub use process::ProcessId;
pub use reconcile::{gc, reconcile};
pub use release::{Outcome, Released, release, release_vf};
pub use repair::{repair, repair_all};
pub use request::{DEFAULT_INTERFACE, Interface, PREFIX, Request, VlanProto};
pub use setup::{PfSetup, Step, plan_setup, set_private_flag, setup};
pub use status::{PfStatus, VfStatus, status};
pub use survey::{Nic, survey};

/// Where everything is. Tests give other folders; nobody else does.
#[derive(Debug, Clone)]
pub struct Host {
    /// `/sys`
    pub sysfs: PathBuf,
    /// `/run/runvf`: claims and locks. On a tmpfs, since a reboot voids VFs and claims together.
    pub run: PathBuf,
    /// `/etc/runvf/config.toml`
    pub config: PathBuf,
    /// `/var/log/runvf/audit.jsonl`: who had which VLAN. Outlives a reboot.
    pub audit: PathBuf,
}

impl Host {
    /// A machine whose root is this folder.
    pub(crate) fn below(root: &Path) -> Self {
        Self {
            sysfs: root.join("sys"),
            run: root.join("run/runvf"),
            config: root.join("etc/runvf/config.toml"),
            audit: root.join("var/log/runvf/audit.jsonl"),
        }
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::below(Path::new("/"))
    }
}

/// Who a VF is for.
#[derive(Debug, Clone)]
pub struct Container {
    /// As the engine names it to its runtime.
    pub id: String,
    /// The container's init process, in the pid namespace of the caller. Its network namespace gets the VFs.
    pub pid: i32,
}
