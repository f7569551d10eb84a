//! `ETHTOOL_GDRVINFO`: the driver's description of itself.

use nix::errno::Errno;
use nix::libc::c_char;

use super::ioctl::call;

const ETHTOOL_GDRVINFO: u32 = 0x03;

/// `struct ethtool_drvinfo`
#[repr(C)]
struct RawInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    expansion_rom: [u8; 32],
    reserved: [u8; 12],
    private_flags: u32,
    statistics: u32,
    tests: u32,
    eeprom: u32,
    registers: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct DriverInfo {
    pub(crate) version: String,
    pub(crate) firmware: String,
    pub(crate) private_flags: usize,
    /// The number of the driver's own counters.
    pub(crate) statistics: u32,
}

/// Reads the versions of a driver and its firmware, and the number of its private flags.
///
/// # Errors
/// The kernel's errno; `ENODEV` when the calling thread's network namespace has no such interface.
pub(crate) fn driver_info(interface: impl AsRef<[u8]>) -> Result<DriverInfo, Errno> {
    let mut info = RawInfo {
        command: ETHTOOL_GDRVINFO,
        driver: [0; 32],
        version: [0; 32],
        firmware: [0; 32],
        bus: [0; 32],
        expansion_rom: [0; 32],
        reserved: [0; 12],
        private_flags: 0,
        statistics: 0,
        tests: 0,
        eeprom: 0,
        registers: 0,
    };
    call("read-driver-info", interface, (&raw mut info).cast::<c_char>())?;
    Ok(DriverInfo {
        version: text(&info.version),
        firmware: text(&info.firmware),
        private_flags: info.private_flags as usize,
        statistics: info.statistics,
    })
}

/// The text of a field, up to its first zero byte.
pub(super) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).trim().to_owned()
}
