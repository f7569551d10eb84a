//! Rtnetlink requests, encoded by hand so that the floor has no overhead of a library.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// An `RTM_SETLINK` request for one link, or one of [`SetLink::get`].
pub(crate) struct SetLink(Vec<u8>);

impl SetLink {
    /// A request that sets `flags` (`IFF_*`) of a link, and leaves its other flags unchanged.
    pub(crate) fn new(ifindex: u32, flags: u32) -> Self {
        let request_flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut bytes = vec![0; 4];
        bytes.extend(libc::RTM_SETLINK.to_ne_bytes());
        bytes.extend(request_flags.to_ne_bytes());
        // Sequence number and port of the header; family, padding and type of `ifinfomsg`.
        bytes.extend([0; 12]);
        bytes.extend(ifindex.to_ne_bytes());
        // The flags, and the mask of flags to change (`ifi_change`).
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        Self(bytes)
    }

    /// An `RTM_GETLINK` request for one link, without acknowledgement.
    pub(crate) fn get(ifindex: u32) -> Self {
        let Self(mut bytes) = Self::new(ifindex, 0);
        bytes[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
        Self(bytes)
    }

    /// Adds an attribute.
    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend((4 + value.len() as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds an attribute that contains attributes.
    pub(crate) fn nested(self, kind: u16, inner: impl FnOnce(Self) -> Self) -> Self {
        let value = inner(Self(Vec::new())).0;
        self.with(kind, &value)
    }
}

/// A netlink socket, in the network namespace of the thread that opened it.
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Reads the flags of a link (`IFF_*`).
    pub(crate) fn flags(&self, ifindex: u32) -> Result<u32, Errno> {
        let reply = self.exchange(SetLink::get(ifindex))?;
        match u16_at(&reply, 4) {
            // `ifinfomsg` follows the header of 16 bytes, and has the flags after 8 more.
            libc::RTM_NEWLINK => Ok(u32_at(&reply, 24)),
            _ => Err(error_in(&reply).err().unwrap_or(Errno::EPROTO)),
        }
    }

    pub(crate) fn open() -> Result<Self, Errno> {
        let (raw, flags) = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
        socket(AddressFamily::Netlink, raw, flags, SockProtocol::NetlinkRoute).map(Self)
    }

    /// Sends a request and waits for its acknowledgement.
    pub(crate) fn request(&self, message: SetLink) -> Result<(), Errno> {
        error_in(&self.exchange(message)?)
    }

    /// Sends a request and returns the first 4 KiB of the answer.
    fn exchange(&self, mut message: SetLink) -> Result<[u8; 4096], Errno> {
        let length = message.0.len() as u32;
        message.0[..4].copy_from_slice(&length.to_ne_bytes());
        sendto(self.0.as_raw_fd(), &message.0, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut reply = [0; 4096];
        recv(self.0.as_raw_fd(), &mut reply, MsgFlags::empty())?;
        Ok(reply)
    }
}

/// The error code of `nlmsgerr`, after the header of 16 bytes.
fn error_in(reply: &[u8]) -> Result<(), Errno> {
    match u32_at(reply, 16).cast_signed() {
        0 => Ok(()),
        code => Err(Errno::from_raw(-code)),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes[at..].first_chunk().copied().map_or(0, u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().copied().map_or(0, u32::from_ne_bytes)
}
