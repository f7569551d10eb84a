//! `ETHTOOL_GSTATS`: the driver's own counters. For a VF, runvf needs their side effect only: the VF
//! driver asks its PF for them.

use nix::errno::Errno;

use super::driver::{driver_info, text};
use super::ioctl::call;

const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETH_SS_STATS: u32 = 1;
const ETH_GSTRING_LEN: usize = 32;
/// The length of `struct ethtool_gstrings` without the names, in bytes.
const STRINGS_HEADER: usize = 12;
const ETHTOOL_GSTATS: u32 = 0x1d;
/// Room for counters that a driver adds between both calls, in counters. Older kernels ignore the
/// number in the request and write all counters.
const SPARE_COUNTERS: usize = 4096;

/// Makes the driver read its counters, and discards them. iavf then wakes its watchdog, which sends
/// everything to the PF that waits to be sent (`iavf_get_ethtool_stats`).
///
/// # Errors
/// The kernel's errno; `EOPNOTSUPP` for a driver without counters.
pub(crate) fn read_statistics(interface: impl AsRef<[u8]>) -> Result<(), Errno> {
    let interface = interface.as_ref();
    counters(interface, number_of_counters(interface)?).map(drop)
}

/// The first of these counters that the driver has, with its name.
///
/// # Errors
/// As [`read_statistics`].
pub(crate) fn first_statistic(
    interface: &str,
    wanted: &[&'static str],
) -> Result<Option<(&'static str, u64)>, Errno> {
    let count = number_of_counters(interface)?;
    let names = names(interface, count)?;
    let counters = counters(interface, count)?;
    let value = |name: &&'static str| {
        let position = names.iter().position(|have| have == name)?;
        Some((*name, *counters.get(position)?))
    };
    Ok(wanted.iter().find_map(value))
}

fn number_of_counters(interface: impl AsRef<[u8]>) -> Result<u32, Errno> {
    match driver_info(interface)?.statistics {
        0 => Err(Errno::EOPNOTSUPP),
        count => Ok(count),
    }
}

/// The names of the counters, in the driver's order.
fn names(interface: &str, count: u32) -> Result<Vec<String>, Errno> {
    let room = 2 * count as usize + SPARE_COUNTERS;
    let mut strings = vec![0_u8; STRINGS_HEADER + room * ETH_GSTRING_LEN];
    for (field, value) in [ETHTOOL_GSTRINGS, ETH_SS_STATS, count].iter().enumerate() {
        strings[4 * field..][..4].copy_from_slice(&value.to_ne_bytes());
    }
    call("read-statistic-names", interface, strings.as_mut_ptr().cast())?;
    let names = strings[STRINGS_HEADER..].chunks_exact(ETH_GSTRING_LEN).take(count as usize);
    Ok(names.map(text).collect())
}

fn counters(interface: impl AsRef<[u8]>, count: u32) -> Result<Vec<u64>, Errno> {
    // `struct ethtool_stats`: the command and the number of counters, then the counters.
    let mut statistics = vec![0_u64; 1 + 2 * count as usize + SPARE_COUNTERS];
    let mut header = [0; 8];
    header[..4].copy_from_slice(&ETHTOOL_GSTATS.to_ne_bytes());
    header[4..].copy_from_slice(&count.to_ne_bytes());
    statistics[0] = u64::from_ne_bytes(header);
    call("read-statistics", interface, statistics.as_mut_ptr().cast())?;
    Ok(statistics[1..].iter().take(count as usize).copied().collect())
}
