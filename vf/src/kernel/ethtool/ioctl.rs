//! The `SIOCETHTOOL` ioctl.

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::fault;

#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

pub(super) fn ethtool(interface: &str, command: u32, data: u32) -> Result<u32, Errno> {
    let mut value = Value { command, data };
    call("offload", interface, (&raw mut value).cast())?;
    Ok(value.data)
}

/// `argument` points to what the command in its first field reads and writes.
pub(super) fn call(
    point: &'static str,
    interface: &str,
    argument: *mut libc::c_char,
) -> Result<(), Errno> {
    if fault::lie(point)? {
        return Ok(());
    }
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: an all-zero ifreq is valid: it is plain data, and a union of plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(15).zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = argument;
    // SAFETY: SIOCETHTOOL reads and writes the ifreq and what ifr_data points to: for the commands of this module an
    // `ethtool_value` or an `ethtool_drvinfo`, the feature blocks, of which it writes no more than the structure says there is
    // room for, or as many strings as `driver_info` has counted. All outlive the call.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    Errno::result(result).map(drop)
}
