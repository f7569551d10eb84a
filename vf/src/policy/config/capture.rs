//! The settings of a VF's netdev that decide what a sensor sees.

use serde::{Deserialize, Serialize};

use super::figure::Figure;

/// The offloads that are turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Offloads {
    /// Those that merge received frames (GRO, LRO), so that the sensor sees the frames of the wire,
    /// and those that split sent ones (TSO, GSO), so that libpcap needs no room for unsplit ones.
    Frames,
    /// Also checksums and scatter-gather, as the manuals of Zeek and Security Onion ask for.
    Off,
    /// None.
    Keep,
}

/// The CPUs that handle the interrupts of a VF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interrupts {
    /// The CPUs of the container's cpuset, if it is restricted.
    Cpuset,
    /// As the kernel chose them.
    Keep,
}

/// The order of a pool's PFs for an attach. PFs on the NUMA nodes of the container's cpuset always
/// come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// The PF with the fewest claimed VFs first.
    #[default]
    Spread,
    /// In the order of the pool's list: a PF is used when those before it are full.
    Pack,
}

/// The resulting settings of a VF's netdev.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capture {
    /// With more than one channel, both directions of a flow arrive in the same one.
    pub(crate) channels: Figure,
    /// The size of each receive ring, in descriptors.
    pub(crate) rx_ring: Figure,
    /// The shortest time between two receive interrupts, in microseconds.
    pub(crate) rx_usecs: Figure,
    pub(crate) offloads: Offloads,
    pub(crate) interrupts: Interrupts,
}

impl Capture {
    /// Everything as the driver and the kernel have set it.
    pub(crate) const KEEP: Self = Self {
        channels: Figure::Keep,
        rx_ring: Figure::Keep,
        rx_usecs: Figure::Keep,
        offloads: Offloads::Keep,
        interrupts: Interrupts::Keep,
    };
}
