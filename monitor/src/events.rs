//! Where events come from. An event is a hint where to look; what is true is read afterwards.

pub(crate) mod claims_folder;
pub(crate) mod host;
pub(crate) mod netdev;
pub(crate) mod process;
mod readable;
pub(crate) mod uevent;

use std::time::SystemTime;

use vf::ProcessId;

/// What happened on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostEvent {
    /// A netdev in the host netns appeared, changed or disappeared.
    Link {
        ifindex: u32,
        /// PCI address of its device.
        parent: Option<String>,
    },
    /// The kernel has changed a PCI function, or its driver, or the netdev of one.
    Device { pci: String },
    /// The claim of this VF was written or removed.
    Claim { vf: String },
    /// Events were lost, or the folder of the claims was replaced.
    Overrun,
}

/// What happened to one attached VF. `watch` is the number of the watch that reports it: an event of
/// an earlier watch is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VfEvent {
    pub(crate) vf: String,
    pub(crate) watch: u64,
    pub(crate) what: VfChange,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VfChange {
    /// What matters of its netdev to a sensor has changed.
    Netdev { at: SystemTime },
    /// Its netdev left the network namespace, so the watch has ended.
    Gone { at: SystemTime },
    /// The watch could not begin or go on, for this reason.
    Unwatched { why: String },
    /// The process that keeps its claim has ended.
    KeeperEnded { process: ProcessId },
}
