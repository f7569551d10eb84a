//! SR-IOV virtual functions (VFs) for containers: find a VF, claim it, configure it through its
//! physical function (PF), attach it to a container's network namespace, release it, scrub it.
//!
//! A front door (OCI runtime, OCI hook or the operator's command) calls the library in this order:
//!
//! 1. [`Request::from_annotations`] parses what the container asks for. `None`: it asks for no VF.
//!    [`pod_role`] says which Kubernetes pod the container belongs to; the caller adds it to the
//!    request.
//! 2. [`authorize`] compares the request with `/etc/runvf/config.toml`, which assigns VLANs to
//!    tenants. It changes nothing on the host. A front door that refuses a container for a reason
//!    of its own calls [`refuse`], so that the audit log has this refusal too.
//!    If the container's spec moves netdevs, [`refuse_managed_netdevs`] is called first, also for a
//!    container that asks for no VF.
//!    For VFs that the container drives by vfio-pci, a runtime calls [`Grant::claim_vfio`] before it
//!    creates the container.
//! 3. [`Grant::attach`] runs when the container's init process exists and waits. When it returns,
//!    every VF is up in the container.
//!    For the request of a CDI [`Device`], [`Grant::attach_device`] does this.
//! 4. [`check_attached`] runs right before the init process may run the user's program.
//! 5. [`release`] runs when the container has exited.
//!
//! A door that knows only a container's network namespace calls [`Grant::attach_to_netns`] instead
//! of 3 and 4, and [`release_network`] or [`release_by_hand`] instead of 5.
//!
//! The library does not depend on OCI, engines or command lines.
//!
//! Its wings import only downward: `operator` → `lifecycle` → `nic` → `ledger` → `policy` →
//! `kernel`. Below all of them are `host` (paths), `fault` (fault points for tests) and `error`
//! (the public error, which joins the error types of the wings).

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

pub use error::{Error, one_line};
pub use host::{Container, Host, NetnsContainer};
pub use kernel::carrier::CarrierCounts;
pub use kernel::error::{KernelError, NetlinkError};
pub use kernel::kernel_log::can_read_kernel_log;
pub use kernel::mac::MacAddress;
pub use kernel::mountinfo;
pub use kernel::netlink::{NetdevEvent, NetdevState};
pub use kernel::netns::{is_host_netns, loopback_up, unused_interface};
pub use kernel::pid_stat::PidStat;
pub use kernel::process::ProcessId;
pub use kernel::sysfs::is_pci_address;
pub use kernel::vf_settings::Settings;
pub use kernel::vfio::DeviceNode;
pub use kernel::vlan::VlanProto;
pub use ledger::audit::{Audit, AuditFollower, Entry, Event, MoreRefused, audit, refuse};
pub use ledger::claim::{BlindTotal, Claim, Gap, Keeper, State};
pub use ledger::error::LedgerError;
pub use lifecycle::attach::{AttachedVf, VfioClaims, check_attached};
pub use lifecycle::check::{Look, check};
pub use lifecycle::error::LifecycleError;
pub use lifecycle::grant::{Grant, authorize};
pub use lifecycle::net_devices::{NetDevice, refuse_managed_netdevs};
pub use lifecycle::outcome::{Outcome, Released};
pub use lifecycle::reconcile::{gc, reconcile};
pub use lifecycle::release::{is_in_use, release, release_by_hand, release_network, release_vf};
pub use lifecycle::repair::{repair, repair_all};
pub use nic::error::NicError;
pub use nic::vfio::VfioVf;
#[doc(hidden)]
pub use operator::bench::claim_and_forget;
pub use operator::capture::{CaptureSocket, CaptureSockets};
pub use operator::capture_settings::{CaptureSettings, capture_settings};
pub use operator::config_check::{check_config, is_managed};
pub use operator::counters::{Counted, Counter, Discards};
pub use operator::doctor::{Finding, Severity, doctor};
pub use operator::error::OperatorError;
pub use operator::probe::{
    Finding as ProbeFinding, Probe, ProbeOptions, ProbeVf, Verdict, Watch, probe,
};
pub use operator::setup::{
    PfSetup, Step, has_parked_pfs, plan_setup, set_private_flag, setup, undo_setup,
};
pub use operator::status::{PfStatus, VfStatus, status};
pub use operator::survey::{Nic, survey};
pub use operator::watch::{
    PfLink, VfEvents, changed_vfs, claim, claims, claims_folder, keeper_in_netns, pf_link,
};
pub use policy::config::{
    Carrier, Config, Figure, Interrupts, MANUAL, Offloads, OnLoss, OnPromiscOff, Placement, Pool,
    Profile, Promisc, Rest, Scrub, Tenant, VlanRange, check_folder_owners,
};
pub use policy::device::Device;
pub use policy::error::PolicyError;
pub use policy::pod::{CriEngine, Pod, PodRole, is_pod_key, pod_role};
pub use policy::request::{DEFAULT_INTERFACE, Interface, PREFIX, Request};
pub use policy::transmit::Transmit;
