//! Channels, ring sizes and interrupt coalescing: commands with structures of `u32` fields
//! (`include/uapi/linux/ethtool.h`).

use nix::errno::Errno;

use super::ioctl::call;

const ETHTOOL_GCOALESCE: u32 = 0x0e;
const ETHTOOL_SCOALESCE: u32 = 0x0f;
const ETHTOOL_GRINGPARAM: u32 = 0x10;
const ETHTOOL_SRINGPARAM: u32 = 0x11;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETHTOOL_SCHANNELS: u32 = 0x3d;

/// `struct ethtool_channels`: command, then the maxima and the numbers of receive, transmit, other
/// and combined channels.
type RawChannels = [u32; 9];
mod channels {
    pub(super) const MAX_RX: usize = 1;
    pub(super) const MAX_COMBINED: usize = 4;
    pub(super) const RX: usize = 5;
    pub(super) const TX: usize = 6;
    pub(super) const COMBINED: usize = 8;
}

/// `struct ethtool_ringparam`: command, then the maxima and the sizes of the receive, mini, jumbo
/// and transmit rings.
type RawRings = [u32; 9];
mod rings {
    pub(super) const RX_MAX: usize = 1;
    pub(super) const RX: usize = 5;
}

/// `struct ethtool_coalesce`.
type RawCoalesce = [u32; 23];
mod coalesce {
    pub(super) const RX_USECS: usize = 1;
    pub(super) const ADAPTIVE_RX: usize = 10;
}

/// How many queues receive frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channels {
    pub(crate) receiving: u32,
    pub(crate) max: u32,
}

/// The size of each receive ring, in descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RxRing {
    pub(crate) size: u32,
    pub(crate) max: u32,
}

/// The moderation of receive interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RxCoalesce {
    /// The shortest time between two interrupts, in microseconds.
    pub(crate) usecs: u32,
    /// Whether the driver changes that time by itself.
    pub(crate) adaptive: bool,
}

/// Reads a structure. `None`: the driver has no such settings.
fn read<const N: usize>(interface: &str, command: u32) -> Result<Option<[u32; N]>, Errno> {
    let mut fields = [0; N];
    fields[0] = command;
    match call("read-settings", interface, (&raw mut fields).cast()) {
        Err(Errno::EOPNOTSUPP) => Ok(None),
        result => result.map(|()| Some(fields)),
    }
}

/// # Errors
/// The kernel's errno; `ENODEV` when the calling thread's network namespace has no such interface.
pub(crate) fn channels(interface: &str) -> Result<Option<Channels>, Errno> {
    let fields: Option<RawChannels> = read(interface, ETHTOOL_GCHANNELS)?;
    Ok(fields.map(|fields| Channels {
        receiving: fields[channels::RX] + fields[channels::COMBINED],
        max: fields[channels::MAX_RX].max(fields[channels::MAX_COMBINED]),
    }))
}

/// Sets the number of receiving channels: combined ones, where the driver has these.
///
/// # Errors
/// `EOPNOTSUPP` for a driver with a fixed number; `EINVAL` for more than its maximum; `EBUSY` and
/// `EAGAIN` while iavf is in a reset.
pub(crate) fn set_channels(interface: &str, count: u32) -> Result<(), Errno> {
    let fields: Option<RawChannels> = read(interface, ETHTOOL_GCHANNELS)?;
    // The other fields keep their values, because iavf refuses other "other" channels than it has
    // (`iavf_set_channels`).
    let mut fields = fields.ok_or(Errno::EOPNOTSUPP)?;
    fields[0] = ETHTOOL_SCHANNELS;
    if fields[channels::MAX_COMBINED] > 0 {
        fields[channels::COMBINED] = count;
        (fields[channels::RX], fields[channels::TX]) = (0, 0);
    } else {
        fields[channels::RX] = count;
    }
    call("channels", interface, (&raw mut fields).cast())
}

/// # Errors
/// As [`channels`].
pub(crate) fn rx_ring(interface: &str) -> Result<Option<RxRing>, Errno> {
    let fields: Option<RawRings> = read(interface, ETHTOOL_GRINGPARAM)?;
    Ok(fields.map(|fields| RxRing { size: fields[rings::RX], max: fields[rings::RX_MAX] }))
}

/// The driver may round the size up: call [`rx_ring`] to read the result.
///
/// # Errors
/// As [`set_channels`].
pub(crate) fn set_rx_ring(interface: &str, size: u32) -> Result<(), Errno> {
    let fields: Option<RawRings> = read(interface, ETHTOOL_GRINGPARAM)?;
    let mut fields = fields.ok_or(Errno::EOPNOTSUPP)?;
    (fields[0], fields[rings::RX]) = (ETHTOOL_SRINGPARAM, size);
    call("rings", interface, (&raw mut fields).cast())
}

/// # Errors
/// As [`channels`].
pub(crate) fn rx_coalesce(interface: &str) -> Result<Option<RxCoalesce>, Errno> {
    let fields: Option<RawCoalesce> = read(interface, ETHTOOL_GCOALESCE)?;
    Ok(fields.map(|fields| RxCoalesce {
        usecs: fields[coalesce::RX_USECS],
        adaptive: fields[coalesce::ADAPTIVE_RX] != 0,
    }))
}

/// Sets a fixed time between receive interrupts. The driver may round it: iavf to even numbers.
///
/// # Errors
/// `EINVAL` for a time that the driver does not support; `EOPNOTSUPP`.
pub(crate) fn set_rx_usecs(interface: &str, usecs: u32) -> Result<(), Errno> {
    let fields: Option<RawCoalesce> = read(interface, ETHTOOL_GCOALESCE)?;
    let mut fields = fields.ok_or(Errno::EOPNOTSUPP)?;
    fields[0] = ETHTOOL_SCOALESCE;
    (fields[coalesce::RX_USECS], fields[coalesce::ADAPTIVE_RX]) = (usecs, 0);
    call("coalesce", interface, (&raw mut fields).cast())
}
