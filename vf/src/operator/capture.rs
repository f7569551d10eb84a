//! The sockets that capture the frames of a VF in its container, and what the kernel says that they
//! have lost.

use serde::Serialize;

use crate::kernel::netlink::PacketSocket;

/// The most sockets of one VF that are listed. A sensor has one socket for each of its threads.
const MAX_LISTED: usize = 64;

/// The packet sockets in a container that receive the frames of its VF.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CaptureSockets {
    pub listed: Vec<CaptureSocket>,
    /// How many further sockets there are.
    pub more: usize,
}

/// A packet socket, which a sensor captures with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CaptureSocket {
    /// The inode number of the socket, as in `/proc/PID/fd`.
    pub inode: u32,
    /// The size of its ring in bytes. `None`: it has no ring.
    pub ring: Option<u64>,
    /// The frames that it has lost because its buffer was full (modulo 2³²). `None`: unknown,
    /// because the kernel tells the loss of a socket with a ring only to its owner.
    pub lost: Option<u32>,
}

impl CaptureSockets {
    /// Of all sockets of a namespace, takes the ones that receive frames of the link `ifindex`.
    pub(crate) fn on_link(sockets: &[PacketSocket], ifindex: u32) -> Self {
        let receives =
            |socket: &&PacketSocket| socket.protocol != 0 && [0, ifindex].contains(&socket.ifindex);
        let mut listed: Vec<CaptureSocket> = sockets
            .iter()
            .filter(receives)
            .map(|socket| CaptureSocket {
                inode: socket.inode,
                ring: socket.ring,
                lost: socket.ring.is_none().then_some(socket.drops),
            })
            .collect();
        listed.sort_by_key(|socket| socket.inode);
        let more = listed.len().saturating_sub(MAX_LISTED);
        listed.truncate(MAX_LISTED);
        Self { listed, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_receive_from_the_link_count_and_a_ring_makes_the_loss_unknown() {
        let all = PacketSocket { inode: 9, protocol: 3, drops: 5, ..PacketSocket::default() };
        let sockets = [
            all,
            PacketSocket { inode: 8, ifindex: 7, ring: Some(4096), ..all },
            PacketSocket { inode: 1, ifindex: 2, ..all },
            PacketSocket { inode: 2, protocol: 0, ..all },
        ];
        let found = CaptureSockets::on_link(&sockets, 7);
        let ring = CaptureSocket { inode: 8, ring: Some(4096), lost: None };
        let plain = CaptureSocket { inode: 9, ring: None, lost: Some(5) };
        assert_eq!(found, CaptureSockets { listed: vec![ring, plain], more: 0 });
        let many: Vec<PacketSocket> = (0..100).map(|inode| PacketSocket { inode, ..all }).collect();
        let found = CaptureSockets::on_link(&many, 7);
        assert_eq!((found.listed.len(), found.more), (MAX_LISTED, 100 - MAX_LISTED));
    }
}
