//! `ETHTOOL_GSTATS`: the driver's own counters. runvf needs their side effect only: a VF driver asks
//! its PF for them.

use nix::errno::Errno;

use super::driver::driver_info;
use super::ioctl::call;

const ETHTOOL_GSTATS: u32 = 0x1d;
/// Room for counters that a driver adds between both calls, in counters. Older kernels ignore the
/// number in the request and write all counters.
const SPARE_COUNTERS: usize = 4096;

/// Makes the driver read its counters, and discards them. iavf then wakes its watchdog, which sends
/// everything to the PF that waits to be sent (`iavf_get_ethtool_stats`).
///
/// # Errors
/// The kernel's errno; `EOPNOTSUPP` for a driver without counters.
pub(crate) fn read_statistics(interface: &str) -> Result<(), Errno> {
    let count = driver_info(interface)?.statistics;
    if count == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    // `struct ethtool_stats`: the command and the number of counters, then the counters.
    let mut statistics = vec![0_u64; 1 + 2 * count as usize + SPARE_COUNTERS];
    let mut header = [0; 8];
    header[..4].copy_from_slice(&ETHTOOL_GSTATS.to_ne_bytes());
    header[4..].copy_from_slice(&count.to_ne_bytes());
    statistics[0] = u64::from_ne_bytes(header);
    call("read-statistics", interface, statistics.as_mut_ptr().cast())
}
