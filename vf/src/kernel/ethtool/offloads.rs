//! Offloads by their names, as `ethtool -k` shows them.

use nix::errno::Errno;

use super::driver::text;
use super::features::{ETHTOOL_SFEATURES, Features, MAX_BLOCKS, SetBlock, read};
use super::ioctl::call;

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_FEATURES: u32 = 4;
const ETH_GSTRING_LEN: usize = 32;
/// The length of `struct ethtool_gstrings` before the strings, in bytes.
const HEADER: usize = 12;

/// `struct ethtool_sset_info` with room for one set.
#[repr(C)]
struct SetInfo {
    command: u32,
    reserved: u32,
    mask: u64,
    count: u32,
}

/// An offload of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offload {
    /// The kernel's name (`netdev_features_strings`, `net/ethtool/common.c`), such as `rx-gro`.
    pub(crate) name: String,
    pub(crate) active: bool,
}

/// Returns the offloads that the kernel knows.
///
/// # Errors
/// The kernel's errno; `ENODEV` when the calling thread's network namespace has no such interface.
pub(crate) fn offloads(interface: &str) -> Result<Vec<Offload>, Errno> {
    let have = read(interface)?;
    let active = |index: usize| have.blocks.get(index / 32).map_or(0, |block| block.active);
    let names = names(interface)?.into_iter().enumerate();
    let offload = |(index, name)| Offload { name, active: active(index) >> (index % 32) & 1 == 1 };
    Ok(names.map(offload).filter(|offload| !offload.name.is_empty()).collect())
}

/// Turns off the offloads with these names. The driver may keep some of them: call [`offloads`] to
/// read the result.
///
/// # Errors
/// As [`offloads`].
pub(crate) fn turn_offloads_off(interface: &str, unwanted: &[&str]) -> Result<(), Errno> {
    let have = read(interface)?;
    let mut want = Features {
        command: ETHTOOL_SFEATURES,
        // The kernel accepts only its own number of blocks, which its answer contains.
        block_count: have.block_count,
        blocks: [SetBlock::default(); MAX_BLOCKS],
    };
    for (index, name) in names(interface)?.iter().enumerate() {
        if let Some(block) = want.blocks.get_mut(index / 32)
            && unwanted.contains(&name.as_str())
        {
            block.valid |= 1 << (index % 32);
        }
    }
    for (want, have) in want.blocks.iter_mut().zip(&have.blocks) {
        want.valid &= have.available & !have.never_changed;
    }
    call("features", interface, (&raw mut want).cast())
}

/// The names of all offloads, by their bits. Unused bits have empty names.
fn names(interface: &str) -> Result<Vec<String>, Errno> {
    let mask = 1 << ETH_SS_FEATURES;
    let mut info = SetInfo { command: ETHTOOL_GSSET_INFO, reserved: 0, mask, count: 0 };
    call("read-features", interface, (&raw mut info).cast())?;
    let count = info.count as usize;
    let header = [ETHTOOL_GSTRINGS, ETH_SS_FEATURES, info.count];
    let mut bytes: Vec<u8> = header.iter().flat_map(|field| field.to_ne_bytes()).collect();
    bytes.resize(HEADER + count * ETH_GSTRING_LEN, 0);
    call("read-features", interface, bytes.as_mut_ptr().cast())?;
    Ok(bytes[HEADER..].chunks(ETH_GSTRING_LEN).map(text).collect())
}
