//! Switches that a driver has for itself, by name.

use nix::errno::Errno;

use super::driver::{driver_info, text};
use super::ioctl::{call, ethtool};

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GPFLAGS: u32 = 0x27;
const ETHTOOL_SPFLAGS: u32 = 0x28;
const ETH_SS_PRIV_FLAGS: u32 = 2;
const ETH_GSTRING_LEN: usize = 32;
/// Their states come as one `u32`.
const MAX_FLAGS: usize = 32;

/// `struct ethtool_gstrings`
#[repr(C)]
struct Strings {
    command: u32,
    set: u32,
    length: u32,
    names: [[u8; ETH_GSTRING_LEN]; MAX_FLAGS],
}

/// The private flags of an interface and whether each is on, in the driver's order. A driver without any has none.
///
/// # Errors
/// The kernel's; `ENODEV` when there is no such interface in the calling thread's namespace.
pub(crate) fn private_flags(interface: &str) -> Result<Vec<(String, bool)>, Errno> {
    let count = driver_info(interface)?.private_flags;
    // The kernel writes all the names there are, whatever room it is told of.
    if count == 0 || count > MAX_FLAGS {
        return Ok(Vec::new());
    }
    let mut strings = Strings {
        command: ETHTOOL_GSTRINGS,
        set: ETH_SS_PRIV_FLAGS,
        length: count as u32,
        names: [[0; ETH_GSTRING_LEN]; MAX_FLAGS],
    };
    call("read-private-flags", interface, (&raw mut strings).cast())?;
    let states = match ethtool(interface, ETHTOOL_GPFLAGS, 0) {
        Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
        states => states?,
    };
    let names = strings.names.iter().take(count).map(|name| text(name));
    Ok(names.enumerate().map(|(bit, name)| (name, states & (1 << bit) != 0)).collect())
}

/// Turns one flag on or off and leaves the others as they are. What the driver makes of it is in [`private_flags`] afterwards.
///
/// # Errors
/// `EOPNOTSUPP` when the driver has no such flag; the driver's own (ice: `EAGAIN` while a VF is promiscuous).
pub(crate) fn set_private_flag(interface: &str, name: &str, on: bool) -> Result<(), Errno> {
    let flags = private_flags(interface)?;
    let bit = flags.iter().position(|(flag, _)| flag == name).ok_or(Errno::EOPNOTSUPP)?;
    let states = ethtool(interface, ETHTOOL_GPFLAGS, 0)?;
    let wanted = if on { states | 1 << bit } else { states & !(1 << bit) };
    ethtool(interface, ETHTOOL_SPFLAGS, wanted).map(drop)
}
