//! The life of an SR-IOV virtual function (VF): find, claim, configure through its physical function (PF), attach to a
//! container's network namespace, release, scrub.
//!
//! A front door (OCI hook, OCI runtime, operator's command) calls it in this order:
//!
//! 1. [`Request::from_annotations`]: what the container asks for, or `None`.
//! 2. [`authorize`]: compares the request with `/etc/runvf/config.toml`, which assigns VLANs to tenants. Nothing has been
//!    touched so far. A front door that refuses a container for a reason of its own calls [`refuse`], so that the audit
//!    log has the refusal as well.
//! 3. [`Grant::attach`], once the container's init process exists and waits: on return every VF is up in the container.
//! 4. [`check_attached`], right before that process may run the user's program.
//! 5. [`release`], when the container is gone.
//!
//! The library knows nothing of OCI, of engines or of command lines.
//!
//! Its wings import only downward: `operator` → `lifecycle` → `nic` → `ledger` → `policy` → `kernel`. Below them all are `host`
//! (paths), `fault` (fault points for tests) and `error` (the public error, which joins the error types of the wings).

mod error;
mod fault;
mod host;
#[cfg(test)]
mod hostile;
mod kernel;
mod ledger;
mod lifecycle;
mod nic;
mod operator;
mod policy;

pub use error::Error;
pub use host::{Container, Host};
pub use kernel::error::{KernelError, NetlinkError};
pub use kernel::mac::MacAddress;
pub use kernel::netns::{is_host_netns, loopback_up};
pub use kernel::process::ProcessId;
pub use kernel::sysfs::is_pci_address;
pub use kernel::vf_settings::Settings;
pub use kernel::vlan::VlanProto;
pub use ledger::audit::{Audit, Entry, Event, audit, refuse};
pub use ledger::claim::{Claim, State};
pub use ledger::error::LedgerError;
pub use lifecycle::attach::check_attached;
pub use lifecycle::error::LifecycleError;
pub use lifecycle::grant::{Grant, authorize};
pub use lifecycle::reconcile::{gc, reconcile};
pub use lifecycle::release::{Outcome, Released, release, release_vf};
pub use lifecycle::repair::{repair, repair_all};
pub use nic::error::NicError;
#[doc(hidden)]
pub use operator::bench::claim_and_forget;
pub use operator::config_check::{check_config, is_managed};
pub use operator::counters::{Counted, Counter};
pub use operator::doctor::{Finding, Severity, doctor};
pub use operator::error::OperatorError;
pub use operator::probe::{
    Finding as ProbeFinding, Probe, ProbeOptions, ProbeVf, Verdict, Watch, probe,
};
pub use operator::setup::{PfSetup, Step, plan_setup, set_private_flag, setup};
pub use operator::status::{PfStatus, VfStatus, status};
pub use operator::survey::{Nic, survey};
pub use policy::config::{
    Carrier, Config, MANUAL, OnLoss, Pool, Profile, Promisc, Scrub, Tenant, VlanRange,
    folders_are_roots,
};
pub use policy::error::PolicyError;
pub use policy::request::{DEFAULT_INTERFACE, Interface, PREFIX, Request};
