//! Offloads, queues, rings, interrupts, private flags, counters and driver information, by the
//! `SIOCETHTOOL` ioctl.

mod driver;
mod features;
mod ioctl;
mod offloads;
mod parameters;
mod private_flags;
mod rss;
mod statistics;

pub(crate) use self::driver::driver_info;
pub(crate) use self::features::{features, set_features};
use self::ioctl::ethtool;
pub(crate) use self::offloads::{offloads, turn_offloads_off};
pub(crate) use self::parameters::{
    Channels, RxCoalesce, RxRing, channels, rx_coalesce, rx_ring, set_channels, set_rx_ring,
    set_rx_usecs,
};
pub(crate) use self::private_flags::{private_flags, set_private_flag};
pub(crate) use self::rss::{is_symmetric, set_symmetric};
pub(crate) use self::statistics::{first_statistic, read_statistics};

// `include/uapi/linux/ethtool.h`
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETH_FLAG_LRO: u32 = 1 << 15;

/// Whether LRO is on. `None`: the kernel reports an error.
pub(crate) fn lro(interface: &str) -> Option<bool> {
    ethtool(interface, ETHTOOL_GFLAGS, 0).ok().map(|flags| flags & ETH_FLAG_LRO != 0)
}
