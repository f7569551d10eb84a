//! Offloads, private flags, counters and driver information, by the `SIOCETHTOOL` ioctl.
//!
//! LRO and GRO merge frames before a sensor sees them, which breaks the stream reassembly of every
//! IDS. The manuals of Zeek and Suricata both tell users to turn them off.

mod driver;
mod ioctl;
mod private_flags;
mod statistics;

use nix::errno::Errno;

pub(crate) use self::driver::driver_info;
use self::ioctl::{call, ethtool};
pub(crate) use self::private_flags::{private_flags, set_private_flag};
pub(crate) use self::statistics::{first_statistic, read_statistics};
use crate::error::Error;
use crate::kernel::error::KernelError;

// `include/uapi/linux/ethtool.h`
const ETHTOOL_SGRO: u32 = 0x2c;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETH_FLAG_LRO: u32 = 1 << 15;

/// Turns LRO and GRO of an interface off. The calling thread must be in the interface's network
/// namespace.
///
/// # Errors
/// [`KernelError::Link`] when the kernel refuses. A driver without these offloads is not an error.
pub(crate) fn disable_receive_merging(interface: &str) -> Result<(), Error> {
    let failed = |errno| {
        Error::Kernel(KernelError::Link {
            action: "turn off LRO and GRO of",
            object: interface.to_owned(),
            source: crate::kernel::error::NetlinkError::Refused(errno),
        })
    };
    match ethtool(interface, ETHTOOL_SGRO, 0) {
        Ok(_) | Err(Errno::EOPNOTSUPP) => {}
        Err(errno) => return Err(failed(errno)),
    }
    match ethtool(interface, ETHTOOL_GFLAGS, 0) {
        Ok(flags) if flags & ETH_FLAG_LRO != 0 => {
            ethtool(interface, ETHTOOL_SFLAGS, flags & !ETH_FLAG_LRO).map_err(failed)?;
            Ok(())
        }
        Ok(_) | Err(Errno::EOPNOTSUPP) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}

/// Whether LRO is on. `None`: the kernel reports an error.
pub(crate) fn lro(interface: &str) -> Option<bool> {
    ethtool(interface, ETHTOOL_GFLAGS, 0).ok().map(|flags| flags & ETH_FLAG_LRO != 0)
}

/// The number of feature blocks in a request. `ETHTOOL_DEV_FEATURE_WORDS` is 2 in Linux 6.12; 4
/// leaves room for later kernels.
const MAX_BLOCKS: usize = 4;

#[repr(C)]
struct Features<T> {
    command: u32,
    block_count: u32,
    blocks: [T; MAX_BLOCKS],
}

/// `struct ethtool_get_features_block`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct GetBlock {
    available: u32,
    requested: u32,
    active: u32,
    never_changed: u32,
}

/// `struct ethtool_set_features_block`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct SetBlock {
    valid: u32,
    requested: u32,
}

/// Returns the offloads of an interface that are requested and can be changed, as a bit set.
///
/// # Errors
/// The kernel's errno; `ENODEV` when the calling thread's network namespace has no such interface.
pub(crate) fn features(interface: &str) -> Result<Vec<u32>, Errno> {
    let blocks = [GetBlock::default(); MAX_BLOCKS];
    let mut have = Features { command: ETHTOOL_GFEATURES, block_count: MAX_BLOCKS as u32, blocks };
    call("read-features", interface, (&raw mut have).cast())?;
    Ok(have.blocks.iter().map(|block| block.requested & block.available).collect())
}

/// Requests exactly these offloads. The driver may not apply all of them: call [`features`] to read
/// the result.
///
/// # Errors
/// As [`features`].
pub(crate) fn set_features(interface: &str, features: &[u32]) -> Result<(), Errno> {
    let blocks = [GetBlock::default(); MAX_BLOCKS];
    let mut have = Features { command: ETHTOOL_GFEATURES, block_count: MAX_BLOCKS as u32, blocks };
    call("read-features", interface, (&raw mut have).cast())?;
    let mut want = Features {
        command: ETHTOOL_SFEATURES,
        // The kernel accepts only its own number of blocks, which its answer contains.
        block_count: have.block_count,
        blocks: [SetBlock::default(); MAX_BLOCKS],
    };
    for ((want, have), asked) in want.blocks.iter_mut().zip(&have.blocks).zip(features) {
        *want = SetBlock { valid: have.available & !have.never_changed, requested: *asked };
    }
    call("features", interface, (&raw mut want).cast())
}
