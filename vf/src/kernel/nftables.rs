//! An nftables chain that drops each frame which an interface sends (`hook egress`, Linux 5.16).
//!
//! The hook is in the path of all frames of the network stack, and of a packet socket with
//! `PACKET_QDISC_BYPASS` (`packet_xmit`, `net/packet/af_packet.c`), which a tc filter is not. It is
//! not in the path of AF_XDP sockets (`__dev_direct_xmit`, `net/core/dev.c`).
//!
//! The chain belongs to the interface and goes with it; from Linux 6.16 on, it belongs to the
//! interface's name, and stays in a network namespace that outlives the interface. Only a process
//! with CAP_NET_ADMIN in the network namespace can remove it, or rename the interface.

mod message;

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use self::message::{Attributes, Message, Reply, attribute, replies};
use crate::fault;
use crate::kernel::error::{NetlinkError, errno_of};

/// How long the kernel may take to answer.
const ANSWER_TIMEOUT_SECONDS: u64 = 20;
/// The kernel's answers are an errno, or one chain of a few hundred bytes.
const RECEIVE_BUFFER: usize = 16 << 10;

/// `NF_NETDEV_EGRESS` and `NF_DROP` (`include/uapi/linux/netfilter.h`, `netfilter_netdev.h`)
const EGRESS: u32 = 1;
const DROP: u32 = 0;
const CHAIN: &str = "egress";

/// `include/uapi/linux/netfilter/nf_tables.h`
mod nft {
    pub(super) const NEWTABLE: u8 = 0;
    pub(super) const DELTABLE: u8 = 2;
    pub(super) const NEWCHAIN: u8 = 3;
    pub(super) const GETCHAIN: u8 = 4;
    pub(super) const TABLE_NAME: u16 = 1;
    pub(super) const CHAIN_TABLE: u16 = 1;
    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const CHAIN_HOOK: u16 = 4;
    pub(super) const CHAIN_POLICY: u16 = 5;
    pub(super) const CHAIN_TYPE: u16 = 7;
    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const HOOK_PRIORITY: u16 = 2;
    pub(super) const HOOK_DEVICE: u16 = 3;
}

/// The table of an interface. Each interface has its own, so that containers which share a network
/// namespace do not change each other's.
fn table(interface: &str) -> String {
    format!("runvf_{interface}")
}

/// Drops all frames that `interface` sends from now on. The calling thread must be in the
/// interface's network namespace. Replaces a chain of an earlier interface with this name.
///
/// # Errors
/// `EOPNOTSUPP` and `EPROTONOSUPPORT` from a kernel without nf_tables or without its egress hook;
/// `ENOENT` when there is no such interface (before Linux 6.16); `EIO` when the chain does not read
/// back.
pub(crate) fn drop_egress(interface: &str) -> Result<(), NetlinkError> {
    let mut socket = Socket::open()?;
    let name = table(interface);
    let of_table = || Attributes::default().text(nft::TABLE_NAME, &name);
    let hook = Attributes::default()
        .number(nft::HOOK_NUMBER, EGRESS)
        .number(nft::HOOK_PRIORITY, 0)
        .text(nft::HOOK_DEVICE, interface);
    let chain = Attributes::default()
        .text(nft::CHAIN_TABLE, &name)
        .text(nft::CHAIN_NAME, CHAIN)
        .nested(nft::CHAIN_HOOK, &hook)
        .number(nft::CHAIN_POLICY, DROP)
        .text(nft::CHAIN_TYPE, "filter");
    socket.commit(&[
        // A table can be deleted only if it exists.
        Message::new(nft::NEWTABLE, NLM_F_CREATE, of_table()),
        Message::new(nft::DELTABLE, 0, of_table()),
        Message::new(nft::NEWTABLE, NLM_F_CREATE, of_table()),
        Message::new(nft::NEWCHAIN, NLM_F_CREATE | NLM_F_ACK, chain),
    ])?;
    match socket.drops_egress(interface)? {
        true => Ok(()),
        false => Err(NetlinkError::Refused(Errno::EIO)),
    }
}

/// Removes the chain that an earlier interface with this name may have left. The calling thread must
/// be in the interface's network namespace.
///
/// # Errors
/// The kernel's errno. A kernel without nf_tables has no chain, which is no error.
pub(crate) fn allow_egress(interface: &str) -> Result<(), NetlinkError> {
    let name = table(interface);
    let of_table = || Attributes::default().text(nft::TABLE_NAME, &name);
    let removed = Socket::open().and_then(|mut socket| {
        socket.commit(&[
            Message::new(nft::NEWTABLE, NLM_F_CREATE, of_table()),
            Message::new(nft::DELTABLE, NLM_F_ACK, of_table()),
        ])
    });
    match removed {
        Err(NetlinkError::Refused(
            Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT,
        )) => Ok(()),
        result => result,
    }
}

/// Whether the chain of [`drop_egress`] is there. The calling thread must be in the interface's
/// network namespace.
///
/// # Errors
/// The kernel's errno. A kernel without nf_tables has no chain, which is no error.
pub(crate) fn drops_egress(interface: &str) -> Result<bool, NetlinkError> {
    match Socket::open().and_then(|mut socket| socket.drops_egress(interface)) {
        Err(NetlinkError::Refused(
            Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT,
        )) => Ok(false),
        result => result,
    }
}

struct Socket {
    kernel: netlink_sys::Socket,
    sequence: u32,
}

impl Socket {
    fn open() -> Result<Self, NetlinkError> {
        let kernel = netlink_sys::Socket::new(NETLINK_NETFILTER).map_err(failed)?;
        let timeout = TimeVal::new(ANSWER_TIMEOUT_SECONDS as i64, 0);
        setsockopt(&kernel, sockopt::ReceiveTimeout, &timeout).map_err(NetlinkError::Refused)?;
        Ok(Self { kernel, sequence: 0 })
    }

    /// Sends messages that the kernel applies together or not at all. The last one asks for an
    /// acknowledgement.
    fn commit(&mut self, messages: &[Message]) -> Result<(), NetlinkError> {
        if fault::lie("nftables").map_err(NetlinkError::Refused)? {
            return Ok(());
        }
        let first = self.sequence + 1;
        let mut bytes = Message::batch_begin().serialize(first);
        for (message, sequence) in messages.iter().zip(first + 1..) {
            bytes.extend(message.serialize(sequence));
        }
        let last = first + messages.len() as u32;
        bytes.extend(Message::batch_end().serialize(last + 1));
        self.sequence = last + 1;
        self.kernel.send(&bytes, 0).map_err(failed)?;
        // The kernel answers in the order of the messages, and a failed commit before all of them.
        self.receive(|reply| match reply {
            Reply::Code { code: 0, sequence } => (*sequence == last).then_some(Ok(())),
            Reply::Code { code, .. } => Some(Err(NetlinkError::Refused(Errno::from_raw(-code)))),
            Reply::Chain(_) => None,
        })
    }

    fn drops_egress(&mut self, interface: &str) -> Result<bool, NetlinkError> {
        if fault::lie("read-nftables").map_err(NetlinkError::Refused)? {
            return Ok(false);
        }
        self.sequence += 1;
        let chain = Attributes::default()
            .text(nft::CHAIN_TABLE, &table(interface))
            .text(nft::CHAIN_NAME, CHAIN);
        let request = Message::new(nft::GETCHAIN, 0, chain).serialize(self.sequence);
        self.kernel.send(&request, 0).map_err(failed)?;
        let found = self.receive(|reply| match reply {
            Reply::Chain(chain) => Some(Ok(is_dropping(chain, interface))),
            Reply::Code { code: 0, .. } => None,
            Reply::Code { code, .. } => Some(Err(NetlinkError::Refused(Errno::from_raw(-code)))),
        });
        match found {
            Err(NetlinkError::Refused(Errno::ENOENT)) => Ok(false),
            found => found,
        }
    }

    /// Receives replies until `decide` returns a result.
    fn receive<T>(
        &self,
        decide: impl Fn(&Reply) -> Option<Result<T, NetlinkError>>,
    ) -> Result<T, NetlinkError> {
        let mut buffer = Vec::with_capacity(RECEIVE_BUFFER);
        loop {
            buffer.clear();
            match self.kernel.recv_from(&mut buffer, 0) {
                Ok((_, from)) if from.port_number() != 0 => continue,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(NetlinkError::NoAnswer(ANSWER_TIMEOUT_SECONDS));
                }
                Err(error) => return Err(failed(error)),
            }
            if let Some(result) = replies(&buffer).iter().find_map(&decide) {
                return result;
            }
        }
    }
}

/// Whether a chain has the attributes that [`drop_egress`] sets.
fn is_dropping(chain: &[u8], interface: &str) -> bool {
    let number = |bytes: &[u8]| bytes.first_chunk().copied().map(u32::from_be_bytes);
    let hook = attribute(chain, nft::CHAIN_HOOK).unwrap_or_default();
    let device = attribute(hook, nft::HOOK_DEVICE).and_then(|text| text.strip_suffix(&[0]));
    attribute(chain, nft::CHAIN_POLICY).and_then(number) == Some(DROP)
        && attribute(hook, nft::HOOK_NUMBER).and_then(number) == Some(EGRESS)
        && device == Some(interface.as_bytes())
}

fn failed(error: io::Error) -> NetlinkError {
    match errno_of(&error) {
        Some(errno) => NetlinkError::Refused(errno),
        None => NetlinkError::Transport(error.to_string()),
    }
}

#[cfg(test)]
mod in_a_netns;
