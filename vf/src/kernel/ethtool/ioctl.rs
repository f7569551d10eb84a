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

/// Runs a command with one `u32` and returns the `u32` of the answer.
pub(super) fn ethtool(interface: &str, command: u32, data: u32) -> Result<u32, Errno> {
    let mut value = Value { command, data };
    call("private-flag", interface, (&raw mut value).cast())?;
    Ok(value.data)
}

/// Runs the command in the first field of `argument`. `argument` points to the structure that this
/// command reads and writes. The name of an interface need not be UTF-8.
pub(super) fn call(
    point: &'static str,
    interface: impl AsRef<[u8]>,
    argument: *mut libc::c_char,
) -> Result<(), Errno> {
    if fault::lie(point)? {
        return Ok(());
    }
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: an all-zero ifreq is valid, because all its fields and union members are plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(15).zip(interface.as_ref()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = argument;
    // SAFETY: SIOCETHTOOL reads and writes the ifreq and the structure that ifr_data points to. For
    // the commands of this module that is a structure of fixed length, the feature blocks (the
    // kernel writes at most the number that the structure states), as many strings as the kernel
    // has reported, a table and a key of the lengths that it has reported, or more than twice as
    // many counters or names of counters. All of them outlive the call.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    Errno::result(result).map(drop)
}
