//! Sends and receives raw frames of one EtherType on an interface (`packet(7)`). The kernel filters
//! out all other frames.

use std::mem::{size_of, size_of_val, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket};

use crate::fault;

/// "Local Experimental EtherType 1" (IEEE Std 802, 9.2.3), reserved for experiments within one
/// network.
pub(crate) const ETHERTYPE: u16 = libc::ETH_P_802_EX1 as u16;

/// The size of the receive buffer in bytes: room for hundreds of small frames.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A packet socket that is bound to one interface.
#[derive(Debug)]
pub(crate) struct Port {
    socket: OwnedFd,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    /// Whether the frame had a VLAN tag. The tag is not in `bytes`, because the kernel removes it.
    pub(crate) tagged: bool,
}

impl Port {
    /// Opens a socket on an interface of the calling thread's network namespace.
    ///
    /// # Errors
    /// The kernel's errno; `ENODEV` when there is no such interface.
    pub(crate) fn open(ifindex: u32) -> Result<Self, Errno> {
        // The protocol stays 0 until `bind`: with a protocol, a socket that is not bound yet
        // receives from all interfaces.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        attach_filter(&socket)?;
        set(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32)?;
        // Needs Linux 4.20. Without this option the socket also receives the frames that this host
        // sends.
        set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
        setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER)?;
        bind(&socket, ifindex)?;
        Ok(Self { socket })
    }

    /// Sends a whole frame, which begins with the destination address.
    ///
    /// # Errors
    /// The kernel's errno: `ENETDOWN`, `ENOBUFS`, and `EAGAIN` when the send buffer is full.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<(), Errno> {
        fault::point("frame-send")?;
        // SAFETY: `frame` is valid for its length, and the kernel reads no further.
        let sent =
            unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        Errno::result(sent).map(drop)
    }

    /// Returns the next frame, or `None` when no frame is waiting. Does not block.
    ///
    /// # Errors
    /// The kernel's errno; `ENETDOWN` once after the interface went down.
    pub(crate) fn receive(&self) -> Result<Option<Frame>, Errno> {
        let mut bytes = [0_u8; 256];
        // `u64` elements, so that the buffer has the alignment of a `cmsghdr`.
        let mut control = [0_u64; 16];
        let mut buffer = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: an all-zero `msghdr` is valid: it has lengths of 0 and null pointers.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &raw mut buffer;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: `message` points to buffers that outlive the call, with their lengths.
        let received = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, 0) };
        match Errno::result(received) {
            Ok(length) => {
                let bytes = bytes[..bytes.len().min(length as usize)].to_vec();
                Ok(Some(Frame { bytes, tagged: has_tag(&message) }))
            }
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Attaches a classic BPF filter (`Documentation/networking/filter.rst`) that passes only
/// [`ETHERTYPE`]. The kernel removes an outer VLAN tag before the filter runs
/// (`__netif_receive_skb_core`, `net/core/dev.c`), so the EtherType is always at offset 12.
fn attach_filter(socket: &OwnedFd) -> Result<(), Errno> {
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut instructions = [
        // BPF_LD | BPF_H | BPF_ABS: load the EtherType.
        instruction(0x28, 0, 0, 12),
        // BPF_JMP | BPF_JEQ | BPF_K: skip one instruction if it is another EtherType.
        instruction(0x15, 0, 1, ETHERTYPE.into()),
        // BPF_RET | BPF_K: pass the whole frame, or drop it.
        instruction(0x06, 0, 0, u32::MAX),
        instruction(0x06, 0, 0, 0),
    ];
    let program =
        libc::sock_fprog { len: instructions.len() as u16, filter: instructions.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Sets a socket option.
fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> Result<(), Errno> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is valid for `size` bytes. A `sock_fprog` points to `len` instructions, which
    // the kernel copies.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), size)
    };
    Errno::result(result).map(drop)
}

/// Binds to the interface with `ETH_P_ALL`, because the kernel discards the tag information before
/// it passes a frame to sockets that are bound to one EtherType.
fn bind(socket: &OwnedFd, ifindex: u32) -> Result<(), Errno> {
    // SAFETY: an all-zero `sockaddr_ll` is valid, because it consists of integers.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = i32::try_from(ifindex).map_err(|_| Errno::ENODEV)?;
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` is a `sockaddr_ll` of this size and outlives the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    Errno::result(bound).map(drop)
}

/// Whether the frame had a VLAN tag, by its `PACKET_AUXDATA`.
fn has_tag(message: &libc::msghdr) -> bool {
    // SAFETY: `recvmsg` has filled `message` and its control buffer, which the caller keeps alive;
    // the CMSG macros stay within that buffer. The data of a PACKET_AUXDATA message is a
    // `tpacket_auxdata`; it is read unaligned.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            if ((*header).cmsg_level, (*header).cmsg_type)
                == (libc::SOL_PACKET, libc::PACKET_AUXDATA)
            {
                let data = libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>();
                return data.read_unaligned().tp_status & libc::TP_STATUS_VLAN_VALID != 0;
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    false
}
