//! Offloads, private flags and the driver's own words, by the `SIOCETHTOOL` ioctl. LRO and GRO merge frames before a sensor sees them, which breaks the
//! stream reassembly of every IDS; Zeek's and Suricata's manuals both ask for them to be off.

mod driver;
mod ioctl;
mod private_flags;

use nix::errno::Errno;

pub(crate) use self::driver::driver_info;
use self::ioctl::{call, ethtool};
pub(crate) use self::private_flags::{private_flags, set_private_flag};
use crate::error::Error;
use crate::kernel::error::KernelError;

// `include/uapi/linux/ethtool.h`
const ETHTOOL_SGRO: u32 = 0x2c;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETH_FLAG_LRO: u32 = 1 << 15;

/// Turns LRO and GRO of an interface off. The calling thread must be in the interface's namespace.
///
/// # Errors
/// [`KernelError::Link`] when the kernel refuses. A driver that has no such offload to turn off is none.
pub(crate) fn no_receive_merging(interface: &str) -> Result<(), Error> {
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

/// Whether LRO is on; `None`: the kernel does not say.
pub(crate) fn lro(interface: &str) -> Option<bool> {
    ethtool(interface, ETHTOOL_GFLAGS, 0).ok().map(|flags| flags & ETH_FLAG_LRO != 0)
}

/// `ETHTOOL_DEV_FEATURE_WORDS` is 2 in Linux 6.12; there is room for more.
const WORDS: usize = 4;

#[repr(C)]
struct Features<T> {
    command: u32,
    words: u32,
    blocks: [T; WORDS],
}

/// `struct ethtool_get_features_block`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Have {
    available: u32,
    requested: u32,
    active: u32,
    never_changed: u32,
}

/// `struct ethtool_set_features_block`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Want {
    valid: u32,
    requested: u32,
}

/// The offloads of an interface that can be chosen, as a bit set: those that are asked for.
///
/// # Errors
/// The kernel's; `ENODEV` when there is no such interface in the calling thread's namespace.
pub(crate) fn features(interface: &str) -> Result<Vec<u32>, Errno> {
    let blocks = [Have::default(); WORDS];
    let mut have = Features { command: ETHTOOL_GFEATURES, words: WORDS as u32, blocks };
    call("read-features", interface, (&raw mut have).cast())?;
    Ok(have.blocks.iter().map(|block| block.requested & block.available).collect())
}

/// Asks for these offloads and no others. What the driver makes of it is in [`features`] afterwards.
///
/// # Errors
/// As [`features`].
pub(crate) fn set_features(interface: &str, features: &[u32]) -> Result<(), Errno> {
    let blocks = [Have::default(); WORDS];
    let mut have = Features { command: ETHTOOL_GFEATURES, words: WORDS as u32, blocks };
    call("read-features", interface, (&raw mut have).cast())?;
    let mut want = Features {
        command: ETHTOOL_SFEATURES,
        // The kernel takes exactly as many as it has, and told how many those are.
        words: have.words,
        blocks: [Want::default(); WORDS],
    };
    for ((want, have), asked) in want.blocks.iter_mut().zip(&have.blocks).zip(features) {
        *want = Want { valid: have.available & !have.never_changed, requested: *asked };
    }
    call("features", interface, (&raw mut want).cast())
}
