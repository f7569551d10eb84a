//! The record of a claim: a VF belongs to a container.
//!
//! ```text
//!            create            update             update
//!   (free) ─────────▶ claiming ──────▶ configured ──────▶ attached ──────▶ lost
//!      ▲                  │                 │                │              │
//!      │ remove           └────────┬────────┴────────────────┴──────────────┘
//!      │                           ▼              could not be cleaned
//!      └────────────────────── releasing ◀────────────────────────────▶ quarantined
//!                                                      repair
//! ```
//!
//! runvf writes the record before it acts:
//!
//! - `claiming` before it changes the first setting,
//! - `configured` before it moves the netdev,
//! - `releasing` before it unbinds the VF driver.
//!
//! `quarantined` is written after the VF has been disarmed. `lost` reports an event outside runvf:
//! the container runs, but its VF left it. The record is removed last, after the VF has read back
//! clean.
//!
//! A process changes a record only under the lock of its PF, and only after it has read the record
//! again under that lock. This process is the claim's worker, a release or a reconcile. Every
//! record has a nonce: a process that read a record with another nonce leaves the new one alone.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::kernel::carrier::CarrierCounts;
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netns::NetnsRecord;
use crate::kernel::netns_life::{Effort, find_netns, processes_in};
use crate::kernel::process::{ProcessId, boot_id_with_root};
use crate::kernel::sysfs::Sysfs;
use crate::kernel::time::rfc3339;
use crate::kernel::vf_settings::Settings;
use crate::policy::config::{OnLoss, OnPromiscOff, Scrub};
use crate::policy::pod::Pod;
use crate::policy::request::Interface;
use crate::policy::transmit::Transmit;

/// The state of a claimed VF. A VF without a record is free.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// runvf has chosen the VF and may be changing its settings.
    Claiming,
    /// The PF has the settings that the claim wants. runvf may be moving the netdev.
    Configured,
    /// The netdev is up inside the container.
    Attached,
    /// The owner lives, but its VF or the netdev disappeared. The VF stays claimed until the owner
    /// has ended.
    Lost { reason: String },
    /// A release is scrubbing the VF.
    Releasing,
    /// The scrub failed. The VF stays claimed until `runvfctl repair` has cleaned it.
    Quarantined { reason: String },
}

/// Whether this boot, and the owner and the process that a claim names, are still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Liveness {
    /// The machine has not rebooted since the claim was made.
    pub(crate) same_boot: bool,
    /// The owner is alive: see [`Owner`].
    pub(crate) owner: bool,
    /// The process that works on the claim is alive.
    pub(crate) worker: bool,
}

impl State {
    /// Whether the module's drawing has an arrow from this record to the next.
    pub(crate) fn may_become(&self, next: &Self) -> bool {
        use State::{Attached, Claiming, Configured, Lost, Quarantined, Releasing};
        match (self, next) {
            (Claiming, Configured) | (Configured, Attached) | (Attached, Lost { .. }) => true,
            // `gc` records a check, the begin of a gap, or its end.
            (Attached, Attached) => true,
            // Every state may become `releasing`: an interrupted release starts again, and a repair
            // releases a quarantined VF.
            (_, Releasing) | (Releasing, Quarantined { .. }) => true,
            _ => false,
        }
    }

    /// Whether the process that should advance this claim is dead, so that any process may release
    /// it.
    pub(crate) fn is_abandoned(&self, alive: Liveness) -> bool {
        match self {
            Self::Quarantined { .. } => false,
            _ if !alive.same_boot => true,
            Self::Attached | Self::Lost { .. } => !alive.owner,
            Self::Claiming | Self::Configured | Self::Releasing => !alive.worker,
        }
    }
}

/// The version of a claim on a VF with a netdev, with an init process as its owner.
///
/// A container may outlive an upgrade or a downgrade of runvf. So every new field needs
/// `#[serde(default)]`, and an older runvf ignores the field but keeps it. A change that an older
/// runvf must not ignore, such as a new state, raises this number: an older runvf then leaves VF
/// and record alone.
pub(crate) const CLAIM_VERSION: u32 = 1;

/// The version of a claim with a network namespace as its owner, and of a claim of a pod. An older
/// runvf knows only init processes, and would release a pod's VF with the end of the sandbox's. So it
/// must leave such a claim alone.
pub(crate) const NETNS_CLAIM_VERSION: u32 = 2;

/// The version of a claim on a VF that its container has by vfio-pci. An older runvf would miss the
/// netdev, and stop the container.
pub(crate) const VFIO_CLAIM_VERSION: u32 = 3;

/// The highest version that this runvf reads.
pub(crate) const MAX_CLAIM_VERSION: u32 = VFIO_CLAIM_VERSION;

/// The owner of a claim. Its end ends the claim.
///
/// A network namespace lives while a process, a mount, a descriptor or a thread keeps it alive, so
/// also without any process. The claim's container id tells apart the containers that one netns
/// may have one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The init process of a container. For a pod, all processes of the pod.
    Init(ProcessId),
    /// A network namespace, for engines that ask for the VF before there is a process.
    Netns(NetnsRecord),
}

/// What keeps a claim: when it has ended, the claim is abandoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// The container's init process, or the claim's worker.
    Process(ProcessId),
    /// The processes in the network namespace `netns`: of a pod, or of a container without a known
    /// init process. A namespace that is the owner may also live without a process.
    Netns,
}

/// The record of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// See [`CLAIM_VERSION`], [`NETNS_CLAIM_VERSION`] and [`VFIO_CLAIM_VERSION`]. The first records
    /// have no version.
    #[serde(default = "first_version")]
    pub version: u32,
    /// PCI address of the VF.
    pub vf: String,
    /// Index of the VF on its PF.
    pub index: u32,
    /// PCI address of the PF.
    pub pf: String,
    /// Name of the PF's netdev when the claim was made. For messages only.
    pub pf_name: String,
    pub state: State,
    /// Tells this claim from every other claim on the same VF.
    pub nonce: String,
    pub boot_id: String,
    pub container: String,
    pub tenant: Option<String>,
    /// The Kubernetes pod of the container, which is the pod's sandbox.
    #[serde(default)]
    pub pod: Option<Pod>,
    /// Name of the VF's netdev inside the container.
    pub interface: String,
    pub netns: NetnsRecord,
    /// The container's init process. `None`: the owner is the network namespace `netns`.
    pub init: Option<ProcessId>,
    /// The process that works on the claim. Unused once the claim is `attached`.
    pub worker: ProcessId,
    /// When the claim was made, in seconds since 1970.
    pub since: u64,
    /// How the release scrubs the VF.
    pub scrub: Scrub,
    /// What happens to the container if it loses the VF.
    pub on_loss: OnLoss,
    /// The settings on the PF while the claim lasts. The difference to `before` is what the attach
    /// changed.
    pub want: Settings,
    pub before: VfSnapshot,
    /// Whether the release leaves the VF without its driver, as long as the kernel does not bind
    /// drivers to VFs by itself.
    #[serde(default)]
    pub park: bool,
    /// The carrier counters of the netdev when its PF was last told about promiscuity. Other
    /// counters mean that the VF may have been reset since. `None`: not attached, or by an older
    /// runvf.
    #[serde(default)]
    pub carrier: Option<CarrierCounts>,
    /// When the VF was last found promiscuous, RFC 3339 in UTC.
    #[serde(default)]
    pub checked: Option<String>,
    /// The last gap.
    #[serde(default)]
    pub gap: Option<Gap>,
    /// All gaps that have ended.
    #[serde(default)]
    pub blind: BlindTotal,
    /// What happens if a process in the container turns promiscuity off.
    #[serde(default)]
    pub on_promisc_off: OnPromiscOff,
    /// The cgroups of other containers with processes in the VF's network namespace. Each has a
    /// `joined` audit entry.
    #[serde(default)]
    pub joined: Vec<String>,
    /// The engine's network that the container got the VF by, if it was one.
    #[serde(default)]
    pub network: Option<String>,
    /// Since when `gc` finds no process in the owner's network namespace, RFC 3339 in UTC. `None`:
    /// there are processes, or the owner is an init process.
    #[serde(default)]
    pub idle_since: Option<String>,
    /// The IOMMU group of a VF that a program in the container drives by vfio-pci. `None`: the VF
    /// has a netdev.
    #[serde(default)]
    pub iommu_group: Option<u32>,
    /// Whether the container may send by the VF. `None`: unknown, because the claim has no container,
    /// or is by an older runvf.
    #[serde(default)]
    pub transmit: Option<Transmit>,
    /// Whether the pool requires that the VF can be promiscuous, so that `gc` sets back what it needs
    /// of its PF. False in a claim by an older runvf.
    #[serde(default)]
    pub promisc_required: bool,
}

/// A time when an attached VF may not have been promiscuous, so that its container may have
/// seen only a part of its VLAN. Times are RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The last time before the gap when the VF was found promiscuous.
    pub since: String,
    /// When the VF was re-armed. `None`: it was not yet, or a `gc` that re-armed it was killed.
    pub until: Option<String>,
    pub reason: String,
}

/// The number and the total length of the gaps of a claim that have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlindTotal {
    pub gaps: u64,
    pub milliseconds: u64,
}

impl BlindTotal {
    /// Adds a gap. Its length is zero if its times cannot be parsed, or if it ends before its begin
    /// because the clock was set back.
    pub(crate) fn add(&mut self, gap: &Gap) {
        let time = |text: &str| humantime::parse_rfc3339(text).ok();
        let length = gap
            .until
            .as_deref()
            .and_then(|until| time(until)?.duration_since(time(&gap.since)?).ok())
            .unwrap_or_default();
        let milliseconds = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.gaps = self.gaps.saturating_add(1);
        self.milliseconds = self.milliseconds.saturating_add(milliseconds);
    }
}

fn first_version() -> u32 {
    1
}

/// The VF as it was before the claim. The release restores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfSnapshot {
    /// `None`: the VF had no driver. The release leaves it without one, unless the kernel binds new
    /// VFs by itself.
    pub driver: Option<String>,
    pub driver_override: Option<String>,
    pub settings: Settings,
    /// `None`: the VF had no driver, so it had no netdev.
    pub netdev: Option<NetdevSettings>,
}

/// How long the end of a network namespace may take after its last keeper is gone.
const RETURN_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two checks whether the netdev has returned.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The container name in the claims of a probe. Engines never use parentheses in a container id.
pub(crate) const PROBE_CONTAINER: &str = "(probe)";

impl Claim {
    /// Whether this claim is an attached VF that satisfies the requested interface. The claim has no
    /// MTU, so that is not compared.
    pub(crate) fn is_attached_as(&self, interface: &Interface) -> bool {
        self.state == State::Attached
            && self.interface == interface.name
            && self.want.vlan == u32::from(interface.vlan)
            && self.want.proto == interface.proto
            && interface.mac.is_none_or(|mac| mac == self.want.mac)
            && self.iommu_group.is_some() == interface.vfio
            && self.may_send_as(interface.transmit)
    }

    fn may_send_as(&self, requested: Option<Transmit>) -> bool {
        requested.is_none() || self.transmit.is_none() || requested == self.transmit
    }

    /// The alias of the netdev in the container (`/sys/class/net/mon0/ifalias`), for example
    /// `vlan=100 tenant=acme`. It tells a sensor its VLAN and its tenant, because the NIC removes
    /// the tag. A tenant's name has at most 63 characters, and the kernel's limit is 255 bytes
    /// (`IFALIASZ`, `include/uapi/linux/if.h`).
    pub(crate) fn alias(&self) -> String {
        let mut alias = format!("vlan={}", self.want.vlan);
        if !self.want.proto.is_default() {
            alias += &format!(" proto={}", self.want.proto);
        }
        if let Some(tenant) = &self.tenant {
            alias += &format!(" tenant={tenant}");
        }
        alias
    }

    /// `since` as text, RFC 3339 in UTC. `None` if the year has more than four digits; runvf writes
    /// no such record.
    pub fn claimed_at(&self) -> Option<String> {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.since)).and_then(rfc3339)
    }

    /// The gap that has not ended.
    pub fn open_gap(&self) -> Option<&Gap> {
        self.gap.as_ref().filter(|gap| gap.until.is_none())
    }

    /// What ends this claim with its own end.
    pub(crate) fn owner(&self) -> Owner {
        self.init.map_or(Owner::Netns(self.netns), Owner::Init)
    }

    /// The version of a new record of this claim: the lowest that has what this claim needs.
    pub(crate) fn min_version(&self) -> u32 {
        match self.pod {
            Some(_) => self.min_readable_version().max(NETNS_CLAIM_VERSION),
            None => self.min_readable_version(),
        }
    }

    /// The lowest version that a record of this claim may have. The first records of pods have
    /// version 1.
    pub(crate) fn min_readable_version(&self) -> u32 {
        match (self.iommu_group, self.owner()) {
            (Some(_), _) => VFIO_CLAIM_VERSION,
            (None, Owner::Netns(_)) => NETNS_CLAIM_VERSION,
            (None, Owner::Init(_)) => CLAIM_VERSION,
        }
    }

    /// What keeps this claim. `None`: the VF is quarantined.
    pub fn keeper(&self) -> Option<Keeper> {
        match self.state {
            State::Quarantined { .. } => None,
            State::Attached | State::Lost { .. } => Some(match self.owner() {
                Owner::Init(init) if self.pod.is_none() => Keeper::Process(init),
                Owner::Init(_) | Owner::Netns(_) => Keeper::Netns,
            }),
            State::Claiming | State::Configured | State::Releasing => {
                Some(Keeper::Process(self.worker))
            }
        }
    }

    /// Whether any process may release this claim: see [`State::is_abandoned`].
    ///
    /// `effort`: how a network namespace is searched that is the owner. After a quick search, the
    /// claim may be abandoned although this function says no.
    pub(crate) fn is_abandoned(&self, effort: Effort) -> bool {
        self.state.is_abandoned(self.liveness(Path::new("/"), effort))
    }

    /// The liveness on the machine with this root folder.
    pub(crate) fn liveness(&self, root: &Path, effort: Effort) -> Liveness {
        // `State::is_abandoned` uses only one of owner and worker. Each check reads /proc, so the
        // other is skipped.
        let by_owner = matches!(self.state, State::Attached | State::Lost { .. });
        let owner_is_alive = || match self.owner() {
            Owner::Init(init) => init.is_alive_with_root(root) || self.has_pod_processes(),
            Owner::Netns(netns) => self.is_netns_alive(root, netns, effort),
        };
        Liveness {
            // An unreadable boot id counts as the same boot, for the reason given at
            // `ProcessId::is_alive_with_root`.
            same_boot: boot_id_with_root(root).map_or(true, |now| self.boot_id == now),
            owner: by_owner && owner_is_alive(),
            worker: !by_owner && self.worker.is_alive_with_root(root),
        }
    }

    /// Whether processes of the claim's pod run. The containers of a pod use the VF of their sandbox
    /// in its network namespace, and may outlive the sandbox's process for a moment. An unknown answer
    /// counts as yes, for the reason given at `ProcessId::is_alive_with_root`.
    fn has_pod_processes(&self) -> bool {
        self.pod.is_some() && processes_in(self.netns).map_or(true, |found| !found.is_empty())
    }

    /// Whether the network namespace of an attached claim lives. An unknown answer counts as yes,
    /// for the reason given at `ProcessId::is_alive_with_root`.
    ///
    /// At the end of a namespace the kernel moves its netdevs to the host netns
    /// (`default_device_exit_net`, `net/core/dev.c`). So a VF that is back in the host netns means
    /// namespace is gone, unless a mount or a process shows that it lives: then the VF was
    /// moved back by hand. If the namespace is not found, and the netdev of the VF does not return
    /// within [`RETURN_TIMEOUT`], then a socket or a mount that this process does not see may keep
    /// the namespace, so it counts as alive.
    fn is_netns_alive(&self, root: &Path, netns: NetnsRecord, effort: Effort) -> bool {
        let sysfs = Sysfs(root.join("sys"));
        let has_returned = || !sysfs.netdevs_or_empty(&self.vf).is_empty();
        if has_returned() {
            return !matches!(find_netns(netns, Effort::Quick), Ok(None));
        }
        if effort == Effort::Quick || !matches!(find_netns(netns, Effort::Full), Ok(None)) {
            return true;
        }
        let deadline = Instant::now() + RETURN_TIMEOUT;
        let is_elsewhere = || sysfs.has_netdev(&self.vf) && !has_returned();
        while is_elsewhere() {
            if Instant::now() >= deadline {
                return true;
            }
            thread::sleep(POLL_INTERVAL);
        }
        false
    }
}

#[cfg(test)]
pub(crate) mod tests;
