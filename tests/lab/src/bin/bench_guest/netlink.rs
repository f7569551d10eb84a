//! A route netlink request, byte by byte: nothing between the floor and the kernel.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// `RTM_SETLINK` for one link, with attributes.
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn link(ifindex: u32, flags: u32) -> Self {
        let flags_of_request = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut bytes = vec![0; 4];
        bytes.extend(libc::RTM_SETLINK.to_ne_bytes());
        bytes.extend(flags_of_request.to_ne_bytes());
        // Sequence, port; family, pad and type.
        bytes.extend([0; 12]);
        bytes.extend(ifindex.to_ne_bytes());
        // What is set is all that is changed.
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        Self(bytes)
    }

    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend((4 + value.len() as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// An attribute made of attributes.
    pub(crate) fn nested(self, kind: u16, inner: impl FnOnce(Self) -> Self) -> Self {
        let value = inner(Self(Vec::new())).0;
        self.with(kind, &value)
    }
}

/// A socket in the namespace of the thread that opened it.
pub(crate) struct Kernel(OwnedFd);

impl Kernel {
    pub(crate) fn open() -> Result<Self, Errno> {
        let (raw, flags) = (SockType::Raw, SockFlag::SOCK_CLOEXEC);
        socket(AddressFamily::Netlink, raw, flags, SockProtocol::NetlinkRoute).map(Self)
    }

    pub(crate) fn ask(&self, mut message: Message) -> Result<(), Errno> {
        let length = message.0.len() as u32;
        message.0[..4].copy_from_slice(&length.to_ne_bytes());
        sendto(self.0.as_raw_fd(), &message.0, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut answer = [0; 4096];
        recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // `nlmsgerr` after the 16 bytes of the header.
        let code = answer[16..20].first_chunk().copied().unwrap_or_default();
        match i32::from_ne_bytes(code) {
            0 => Ok(()),
            code => Err(Errno::from_raw(-code)),
        }
    }
}
