//! rtnetlink: links as they are, and the few changes runvf makes to them.

mod link;
mod socket;
mod vf;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Instant;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage, LinkVfInfo,
};
use nix::errno::Errno;

pub(crate) use self::link::{Flags, Link};
use self::socket::{LinkEventSocket, Request, Socket};
pub(crate) use self::vf::VfCounts;
use self::vf::{counts, settings, vf_info};
use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::vf_settings::{Change, Settings};

/// `include/uapi/linux/rtnetlink.h`
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;

/// By the VFs' indices.
pub(crate) type VfSettings = BTreeMap<u32, Settings>;

/// A route netlink socket in the network namespace of the thread that opened it.
pub(crate) struct Netlink {
    socket: Socket,
}

impl Netlink {
    /// # Errors
    /// [`KernelError::Link`] when there is no socket to be had.
    pub(crate) fn open() -> Result<Self, Error> {
        Socket::open().map(|socket| Self { socket }).map_err(no_socket)
    }

    fn change(&self, point: &'static str, message: LinkMessage) -> Result<(), NetlinkError> {
        self.socket.ask(point, RouteNetlinkMessage::SetLink(message), Request::Set, |_| {})
    }

    fn look(
        &self,
        point: &'static str,
        message: LinkMessage,
        how: Request,
    ) -> Result<Vec<Link>, NetlinkError> {
        let mut found = Vec::new();
        self.socket.ask(point, RouteNetlinkMessage::GetLink(message), how, |answer| {
            found.extend(answer.is(RTM_NEWLINK).then(|| Link::parse(&answer.body)).flatten());
        })?;
        Ok(found)
    }

    /// The link with this index; `None` when there is none (any more).
    pub(crate) fn link(&self, ifindex: u32) -> Result<Option<Link>, Error> {
        match self.look("read-link", addressed(ifindex), Request::Get) {
            Ok(found) => Ok(found.into_iter().next()),
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(source) => Err(Error::Kernel(KernelError::Link {
                action: "look at",
                object: format!("link {ifindex}"),
                source,
            })),
        }
    }

    /// Every link of the namespace. Without VF information: that costs milliseconds a VF under RTNL on some NICs.
    pub(crate) fn links(&self) -> Result<Vec<Link>, Error> {
        let all = self.look("read-links", LinkMessage::default(), Request::Dump);
        all.map_err(|source| {
            Error::Kernel(KernelError::Link { action: "list", object: "links".to_owned(), source })
        })
    }

    /// The link of a PCI function, if it is in this namespace.
    pub(crate) fn link_of(&self, pci: &str) -> Result<Option<Link>, Error> {
        Ok(self.links()?.into_iter().find(|link| link.parent.as_deref() == Some(pci)))
    }

    /// What the PF says of its VFs, by their indices. A VF that its driver cannot ask just now (i40e and ice during a reset) is
    /// missing from the kernel's answer, so a place in the list is no index.
    pub(crate) fn vf_settings(&self, pf: &str, pf_ifindex: u32) -> Result<VfSettings, Error> {
        let gone = || no_vfs(pf, NetlinkError::Refused(Errno::ENODEV));
        self.pf(pf, pf_ifindex)?.map(|(_, settings)| settings).ok_or_else(gone)
    }

    /// The same, with the PF's own link; `None` when it is gone.
    pub(crate) fn pf(
        &self,
        pf: &str,
        pf_ifindex: u32,
    ) -> Result<Option<(Link, VfSettings)>, Error> {
        let masks = vec![LinkExtentMask::Vf, LinkExtentMask::SkipStats];
        let found = self.vf_infos(pf, pf_ifindex, masks)?;
        Ok(found.map(|(link, infos)| (link, infos.iter().filter_map(settings).collect())))
    }

    /// What the PF has counted of its VFs. Asks the card's firmware on some NICs.
    pub(crate) fn vf_counts(
        &self,
        pf: &str,
        pf_ifindex: u32,
    ) -> Result<BTreeMap<u32, VfCounts>, Error> {
        let found = self.vf_infos(pf, pf_ifindex, vec![LinkExtentMask::Vf])?;
        let gone = || no_vfs(pf, NetlinkError::Refused(Errno::ENODEV));
        let (_, infos) = found.ok_or_else(gone)?;
        Ok(infos.iter().filter_map(counts).collect())
    }

    fn vf_infos(
        &self,
        pf: &str,
        pf_ifindex: u32,
        masks: Vec<LinkExtentMask>,
    ) -> Result<Option<(Link, Vec<LinkVfInfo>)>, Error> {
        let mut message = addressed(pf_ifindex);
        message.attributes.push(LinkAttribute::ExtMask(masks));
        let mut found = None;
        let request = RouteNetlinkMessage::GetLink(message);
        let asked = self.socket.ask("read-vfs", request, Request::Get, |answer| {
            found = Link::parse(&answer.body).map(|link| (link, answer.whole()));
        });
        match asked {
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => return Ok(None),
            asked => asked.map_err(|source| no_vfs(pf, source))?,
        }
        let Some((link, message)) = found else { return Ok(None) };
        let RouteNetlinkMessage::NewLink(message) = message.map_err(|source| no_vfs(pf, source))?
        else {
            return Ok(None);
        };
        let infos = message.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::VfInfoList(infos) => Some(infos),
            _ => None,
        });
        Ok(Some((link, infos.unwrap_or_default())))
    }

    /// Sends the changes in one message. The kernel (`do_setvfinfo`, `net/core/rtnetlink.c`) stops at the first it cannot
    /// do and leaves what it has done: read back, whatever this returns.
    pub(crate) fn set_vf(
        &self,
        pf_ifindex: u32,
        vf_index: u32,
        changes: &[Change],
    ) -> Result<(), NetlinkError> {
        let infos = changes.iter().map(|change| vf_info(vf_index, change)).collect();
        let mut message = addressed(pf_ifindex);
        message.attributes.push(LinkAttribute::VfInfoList(vec![LinkVfInfo(infos)]));
        self.change("vf-set", message)
    }

    /// Moves a link and renames it on the way: in one message, so that its old name need not be free at its goal.
    pub(crate) fn move_to(
        &self,
        ifindex: u32,
        netns: BorrowedFd<'_>,
        name: &str,
    ) -> Result<(), NetlinkError> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.change("move", message)
    }

    pub(crate) fn rename(&self, ifindex: u32, name: &str) -> Result<(), NetlinkError> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.change("rename", message)
    }

    pub(crate) fn set_mtu(&self, ifindex: u32, mtu: u32) -> Result<(), NetlinkError> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.change("mtu", message)
    }

    pub(crate) fn set_alias(&self, ifindex: u32, alias: &str) -> Result<(), NetlinkError> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
        self.change("alias", message)
    }

    pub(crate) fn set_txqueuelen(&self, ifindex: u32, length: u32) -> Result<(), NetlinkError> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::TxQueueLen(length));
        self.change("txqueuelen", message)
    }

    /// Whether a link has an IP address of any family.
    pub(crate) fn has_address(&self, ifindex: u32) -> Result<bool, Error> {
        let mut message = AddressMessage::default();
        message.header.index = ifindex;
        let mut found = false;
        let asked = self.socket.ask(
            "read-addresses",
            RouteNetlinkMessage::GetAddress(message),
            Request::Dump,
            |answer| {
                // `struct ifaddrmsg`: its last field is the link's index.
                let index = answer.body.get(4..8) == Some(&ifindex.to_ne_bytes());
                found |= answer.is(RTM_NEWADDR) && index;
            },
        );
        match asked {
            Ok(()) => Ok(found),
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => Ok(false),
            Err(source) => Err(Error::Kernel(KernelError::Link {
                action: "list the addresses of",
                object: format!("link {ifindex}"),
                source,
            })),
        }
    }

    /// Sets those of the flags that are on, and touches no other.
    pub(crate) fn add_flags(&self, ifindex: u32, flags: Flags) -> Result<(), NetlinkError> {
        let mut message = addressed(ifindex);
        for (on, flag) in [
            (flags.up, LinkFlags::Up),
            (flags.promisc, LinkFlags::Promisc),
            (flags.allmulti, LinkFlags::Allmulti),
            (flags.noarp, LinkFlags::Noarp),
        ] {
            message.header.change_mask.set(flag, on);
            message.header.flags.set(flag, on);
        }
        self.change("add-flags", message)
    }

    /// Sets all four flags at once and touches no other.
    pub(crate) fn set_flags(&self, ifindex: u32, flags: Flags) -> Result<(), NetlinkError> {
        let mut message = addressed(ifindex);
        message.header.change_mask =
            LinkFlags::Up | LinkFlags::Promisc | LinkFlags::Allmulti | LinkFlags::Noarp;
        message.header.flags.set(LinkFlags::Up, flags.up);
        message.header.flags.set(LinkFlags::Promisc, flags.promisc);
        message.header.flags.set(LinkFlags::Allmulti, flags.allmulti);
        message.header.flags.set(LinkFlags::Noarp, flags.noarp);
        self.change("flags", message)
    }
}

/// What happens to links from now on, in the namespace of the calling thread.
pub(crate) struct LinkEvents(LinkEventSocket);

impl LinkEvents {
    /// # Errors
    /// As [`Netlink::open`].
    pub(crate) fn open() -> Result<Self, Error> {
        LinkEventSocket::open().map(Self).map_err(no_socket)
    }

    /// Waits for the next one, and no longer than until `deadline`.
    pub(crate) fn wait(&self, deadline: Instant) {
        self.0.wait(deadline);
    }
}

fn no_vfs(pf: &str, source: NetlinkError) -> Error {
    Error::Kernel(KernelError::Link { action: "read the VFs of PF", object: pf.to_owned(), source })
}

fn no_socket(error: io::Error) -> Error {
    let source = NetlinkError::Broken(error.to_string());
    Error::Kernel(KernelError::Link {
        action: "open",
        object: "a netlink socket".to_owned(),
        source,
    })
}

fn addressed(ifindex: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    message
}
