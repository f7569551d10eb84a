//! Receive offloads, by the `SIOCETHTOOL` ioctl. LRO and GRO merge frames before a sensor sees them, which breaks the
//! stream reassembly of every IDS; Zeek's and Suricata's manuals both ask for them to be off.

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::AsRawFd;

use crate::Error;

// `include/uapi/linux/ethtool.h`
const ETHTOOL_SGRO: u32 = 0x2c;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETH_FLAG_LRO: u32 = 1 << 15;

#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Turns LRO and GRO of an interface off. The calling thread must be in the interface's namespace.
///
/// # Errors
/// [`Error::Link`] when the kernel refuses. A driver that has no such offload to turn off is none.
pub(crate) fn no_receive_merging(interface: &str) -> Result<(), Error> {
    let failed = |errno| Error::Link {
        action: "turn off LRO and GRO of",
        object: interface.to_owned(),
        source: crate::error::Netlink::Refused(errno),
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

fn ethtool(interface: &str, command: u32, data: u32) -> Result<u32, Errno> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut value = Value { command, data };
    // SAFETY: an all-zero ifreq is valid: it is plain data, and a union of plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(15).zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL reads and writes the ifreq and, for these commands, the `struct ethtool_value` that ifr_data
    // points to; both outlive the call.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    Errno::result(result)?;
    Ok(value.data)
}
