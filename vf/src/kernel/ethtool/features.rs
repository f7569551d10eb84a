//! Offloads as a bit set.

use nix::errno::Errno;

use super::ioctl::call;

const ETHTOOL_GFEATURES: u32 = 0x3a;
pub(super) const ETHTOOL_SFEATURES: u32 = 0x3b;

/// The number of feature blocks in a request. `ETHTOOL_DEV_FEATURE_WORDS` is 2 in Linux 6.12; 4
/// leaves room for later kernels.
pub(super) const MAX_BLOCKS: usize = 4;

#[repr(C)]
pub(super) struct Features<T> {
    pub(super) command: u32,
    pub(super) block_count: u32,
    pub(super) blocks: [T; MAX_BLOCKS],
}

/// `struct ethtool_get_features_block`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct GetBlock {
    pub(super) available: u32,
    requested: u32,
    pub(super) active: u32,
    pub(super) never_changed: u32,
}

/// `struct ethtool_set_features_block`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct SetBlock {
    pub(super) valid: u32,
    requested: u32,
}

/// Returns the offloads of an interface that are requested and can be changed, as a bit set.
///
/// # Errors
/// The kernel's errno; `ENODEV` when the calling thread's network namespace has no such interface.
pub(crate) fn features(interface: &str) -> Result<Vec<u32>, Errno> {
    let have = read(interface)?;
    Ok(have.blocks.iter().map(|block| block.requested & block.available).collect())
}

/// Requests exactly these offloads. The driver may not apply all of them: call [`features`] to read
/// the result.
///
/// # Errors
/// As [`features`].
pub(crate) fn set_features(interface: &str, features: &[u32]) -> Result<(), Errno> {
    let have = read(interface)?;
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

/// Reads all offloads of an interface.
pub(super) fn read(interface: &str) -> Result<Features<GetBlock>, Errno> {
    let blocks = [GetBlock::default(); MAX_BLOCKS];
    let mut have = Features { command: ETHTOOL_GFEATURES, block_count: MAX_BLOCKS as u32, blocks };
    call("read-features", interface, (&raw mut have).cast())?;
    Ok(have)
}
