//! The packet sockets of a network namespace, by `NETLINK_SOCK_DIAG` (`net/packet/diag.c`).
//!
//! The kernel reads its own records; the sockets themselves are not touched. `PACKET_STATISTICS`
//! would tell more, but it resets the counters that the socket's owner reads.

use netlink_packet_core::NetlinkSerializable;
use nix::libc::AF_PACKET;

use super::link::{for_each_attribute, u32_at};
use super::socket::{Request, Socket};
use crate::kernel::error::NetlinkError;

/// `include/uapi/linux/sock_diag.h`
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// The index of `sk_drops` in the attribute of the memory (`SK_MEMINFO_DROPS`), in `u32`s.
const DROPS: usize = 8;

/// `include/uapi/linux/packet_diag.h`
mod show {
    pub(super) const INFO: u32 = 0x01;
    pub(super) const RING_CFG: u32 = 0x04;
    pub(super) const MEMINFO: u32 = 0x10;
}
mod attribute {
    pub(super) const INFO: u16 = 0;
    pub(super) const RX_RING: u16 = 2;
    pub(super) const MEMINFO: u16 = 6;
}
/// The length of `struct packet_diag_msg`, in bytes.
const HEADER: usize = 16;

/// The most sockets that are read. A container can open many, and each answer takes time.
const MAX_SOCKETS: usize = 1024;

/// A socket of the family `AF_PACKET`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PacketSocket {
    /// The inode number of the socket, as in `/proc/PID/fd`.
    pub(crate) inode: u32,
    /// The link that it is bound to; 0: all links of the namespace.
    pub(crate) ifindex: u32,
    /// The protocol that it receives, in host byte order; 0: none, so it only sends.
    pub(crate) protocol: u16,
    /// `sk_drops`: the frames that did not fit into the socket's buffer. The kernel does not count
    /// them here if the socket has a ring (`tpacket_rcv`, `net/packet/af_packet.c`).
    pub(crate) drops: u32,
    /// The size of its receive ring in bytes. `None`: it has no ring.
    pub(crate) ring: Option<u64>,
}

/// Lists the packet sockets of the caller's network namespace, [`MAX_SOCKETS`] at most.
///
/// # Errors
/// `ENOENT` when the kernel has no packet diagnosis (`CONFIG_PACKET_DIAG`).
pub(crate) fn packet_sockets() -> Result<Vec<PacketSocket>, NetlinkError> {
    let opened = Socket::open_sock_diag();
    let socket = opened.map_err(|error| NetlinkError::Transport(error.to_string()))?;
    let mut answers = socket.send(PacketDiagRequest, Request::Dump)?;
    let mut sockets = Vec::new();
    // Sockets may come and go during the list, so an interrupted list is not read again: a socket
    // that is missing now is there the next time.
    while sockets.len() < MAX_SOCKETS {
        let done = socket.receive_answers(&mut answers, &mut |answer| {
            if answer.is(SOCK_DIAG_BY_FAMILY) {
                sockets.extend(PacketSocket::parse(&answer.body));
            }
        })?;
        if done.is_some() {
            break;
        }
    }
    sockets.truncate(MAX_SOCKETS);
    Ok(sockets)
}

impl PacketSocket {
    /// Parses the body of an answer. `None`: it is too short.
    fn parse(message: &[u8]) -> Option<Self> {
        let attributes = message.get(HEADER..)?;
        let protocol = u16::from_ne_bytes([message[2], message[3]]);
        let mut socket = Self { inode: u32_at(message, 4), protocol, ..Self::default() };
        for_each_attribute(attributes, |kind, value| match kind {
            // The first field of `struct packet_diag_info`.
            attribute::INFO => socket.ifindex = u32_at(value, 0),
            attribute::MEMINFO => socket.drops = u32_at(value, DROPS * 4),
            // The first fields of `struct packet_diag_ring`: the size and the number of the blocks.
            attribute::RX_RING => {
                socket.ring = Some(u64::from(u32_at(value, 0)) * u64::from(u32_at(value, 4)));
            }
            _ => {}
        });
        Some(socket)
    }
}

/// `struct packet_diag_req`
struct PacketDiagRequest;

impl NetlinkSerializable for PacketDiagRequest {
    fn message_type(&self) -> u16 {
        SOCK_DIAG_BY_FAMILY
    }

    fn buffer_len(&self) -> usize {
        20
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.fill(0);
        buffer[0] = AF_PACKET as u8;
        let what = show::INFO | show::RING_CFG | show::MEMINFO;
        buffer[8..12].copy_from_slice(&what.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_cut_off_is_no_socket_or_one_with_fewer_facts() {
        assert_eq!(PacketSocket::parse(&[0; HEADER - 1]), None);
        let mut message = vec![17, 3, 3, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let socket = PacketSocket { inode: 7, protocol: 3, ..PacketSocket::default() };
        assert_eq!(PacketSocket::parse(&message), Some(socket));
        // An attribute with a length beyond the message.
        message.extend([200, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(PacketSocket::parse(&message), Some(socket));
        message.truncate(HEADER);
        message.extend([8, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(PacketSocket::parse(&message), Some(PacketSocket { ifindex: 5, ..socket }));
    }
}
