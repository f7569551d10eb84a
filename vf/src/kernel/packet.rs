//! Raw frames on an interface (`packet(7)`), of one EtherType. What else is on that wire the kernel keeps to itself.

use std::mem::{size_of, size_of_val, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket};

use crate::fault;

/// For experiments within one network: "Local Experimental EtherType 1", IEEE Std 802, 9.2.3.
pub(crate) const ETHERTYPE: u16 = libc::ETH_P_802_EX1 as u16;

/// Octets; room for hundreds of small frames.
const BUFFER: usize = 1 << 20;

/// An interface that frames are sent and received on.
#[derive(Debug)]
pub(crate) struct Port {
    socket: OwnedFd,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    /// Whether it came with a VLAN tag, which is not in `bytes`: the kernel has taken it out.
    pub(crate) tagged: bool,
}

impl Port {
    /// On an interface of the calling thread's namespace.
    ///
    /// # Errors
    /// The kernel's; `ENODEV` when there is no such interface.
    pub(crate) fn open(ifindex: u32) -> Result<Self, Errno> {
        // Of no protocol as yet: bound to none, it would hear all interfaces at once.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        of_our_type_only(&socket)?;
        set(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32)?;
        // Linux 4.20. Else what this host sends there were to be heard as well.
        set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
        setsockopt(&socket, RcvBufForce, &BUFFER)?;
        bind(&socket, ifindex)?;
        Ok(Self { socket })
    }

    /// Sends a whole frame, from its receiver's address on.
    ///
    /// # Errors
    /// The kernel's: `ENETDOWN`, `ENOBUFS`, and `EAGAIN` when the interface takes no more.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<(), Errno> {
        fault::point("frame-send")?;
        // SAFETY: `frame` is valid for its length, of which the kernel reads no more.
        let sent =
            unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        Errno::result(sent).map(drop)
    }

    /// The next frame; `None`: none is there now.
    ///
    /// # Errors
    /// The kernel's; `ENETDOWN` once after the interface went down.
    pub(crate) fn receive(&self) -> Result<Option<Frame>, Errno> {
        let mut bytes = [0_u8; 256];
        // Aligned as a `cmsghdr` is.
        let mut control = [0_u64; 16];
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: all zeros is a valid `msghdr`: lengths of 0 and null pointers.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: `message` points to buffers that outlive the call, with their lengths.
        let got = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, 0) };
        match Errno::result(got) {
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

/// A filter in the classic BPF of `Documentation/networking/filter.rst`. The kernel has taken an outer tag out by then
/// (`__netif_receive_skb_core`, `net/core/dev.c`), so that the type is where it is in an untagged frame.
fn of_our_type_only(socket: &OwnedFd) -> Result<(), Errno> {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        // BPF_LD | BPF_H | BPF_ABS: the EtherType.
        step(0x28, 0, 0, 12),
        // BPF_JMP | BPF_JEQ | BPF_K
        step(0x15, 0, 1, ETHERTYPE.into()),
        // BPF_RET | BPF_K: all of it, or none.
        step(0x06, 0, 0, u32::MAX),
        step(0x06, 0, 0, 0),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> Result<(), Errno> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is valid for `size` octets. A `sock_fprog` points to as many steps as it says, which the kernel copies.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), size)
    };
    Errno::result(result).map(drop)
}

/// With `ETH_P_ALL`, since the kernel forgets a tag before it hands a frame to the sockets of its own type.
fn bind(socket: &OwnedFd, ifindex: u32) -> Result<(), Errno> {
    // SAFETY: all zeros is a valid `sockaddr_ll`: plain numbers.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = i32::try_from(ifindex).map_err(|_| Errno::ENODEV)?;
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` is a `sockaddr_ll` of this size and outlives the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    Errno::result(bound).map(drop)
}

/// What the kernel says beside a frame (`PACKET_AUXDATA`).
fn has_tag(message: &libc::msghdr) -> bool {
    // SAFETY: `recvmsg` has filled `message` and the buffer that it points to, which the caller still has; the macros stay within it. The
    // data of this one type is a `tpacket_auxdata`, whose alignment is not relied on.
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
