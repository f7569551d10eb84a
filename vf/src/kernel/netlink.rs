//! rtnetlink: reads links and VF settings, and changes them.

mod events;
mod link;
mod packet_sockets;
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

pub(crate) use self::events::NetdevEvents;
pub use self::events::{NetdevEvent, NetdevState};
use self::link::RTM_NEWLINK;
pub(crate) use self::link::{Flags, Link};
pub(crate) use self::packet_sockets::{PacketSocket, packet_sockets};
use self::socket::{LinkEventSocket, Request, Socket, until_complete};
pub(crate) use self::vf::VfCounters;
use self::vf::{parse_counters, parse_settings, vf_info};
use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::vf_settings::{Change, Settings};

/// `include/uapi/linux/rtnetlink.h`
const RTM_NEWADDR: u16 = 20;

/// The settings of a PF's VFs, by VF index.
pub(crate) type VfSettings = BTreeMap<u32, Settings>;

/// A route netlink socket in the network namespace of the thread that opened it.
pub(crate) struct Netlink {
    socket: Socket,
}

impl Netlink {
    /// # Errors
    /// [`KernelError::Link`] when the socket cannot be opened.
    pub(crate) fn open() -> Result<Self, Error> {
        Socket::open().map(|socket| Self { socket }).map_err(socket_error)
    }

    fn set_link(&self, point: &'static str, message: LinkMessage) -> Result<(), NetlinkError> {
        self.socket.request(point, RouteNetlinkMessage::SetLink(message), Request::Set, |_| {})
    }

    fn get_links(
        &self,
        point: &'static str,
        message: LinkMessage,
        kind: Request,
    ) -> Result<Vec<Link>, NetlinkError> {
        until_complete(|| {
            let mut found = Vec::new();
            let request = RouteNetlinkMessage::GetLink(message.clone());
            self.socket.request(point, request, kind, |answer| {
                found.extend(answer.is(RTM_NEWLINK).then(|| Link::parse(&answer.body)).flatten());
            })?;
            Ok(found)
        })
    }

    /// Returns the link with this index, or `None` when it does not exist (any more).
    pub(crate) fn link(&self, ifindex: u32) -> Result<Option<Link>, Error> {
        match self.get_links("read-link", link_message(ifindex), Request::Get) {
            Ok(found) => Ok(found.into_iter().next()),
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(source) => Err(Error::Kernel(KernelError::Link {
                action: "read",
                object: format!("link {ifindex}"),
                source,
            })),
        }
    }

    /// Returns every link of the network namespace. The answer has no VF information, because on
    /// some NICs the kernel holds RTNL for milliseconds per VF to collect it.
    pub(crate) fn links(&self) -> Result<Vec<Link>, Error> {
        let links = self.get_links("read-links", LinkMessage::default(), Request::Dump);
        links.map_err(|source| {
            Error::Kernel(KernelError::Link { action: "list", object: "links".to_owned(), source })
        })
    }

    /// Returns the link of a PCI function, if it is in this network namespace.
    pub(crate) fn link_by_pci(&self, pci: &str) -> Result<Option<Link>, Error> {
        Ok(self.links()?.into_iter().find(|link| link.parent.as_deref() == Some(pci)))
    }

    /// As [`Netlink::link_by_pci`]. `name`: the name that the link probably has. The kernel then need
    /// not list all links; a container can make any number of them.
    pub(crate) fn link_by_name_or_pci(&self, name: &str, pci: &str) -> Result<Option<Link>, Error> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        // Any failure, such as ENODEV, is left to the list.
        let named = self.get_links("read-link", message, Request::Get).unwrap_or_default();
        match named.into_iter().find(|link| link.parent.as_deref() == Some(pci)) {
            Some(link) => Ok(Some(link)),
            None => self.link_by_pci(pci),
        }
    }

    /// Returns the settings that the PF reports for its VFs. The kernel's answer omits a VF that
    /// the PF driver cannot query (i40e and ice during a reset), so the position in the answer is
    /// not the VF index.
    pub(crate) fn vf_settings(&self, pf: &str, pf_ifindex: u32) -> Result<VfSettings, Error> {
        let missing = || vf_read_error(pf, NetlinkError::Refused(Errno::ENODEV));
        self.pf_with_vfs(pf, pf_ifindex)?.map(|(_, settings)| settings).ok_or_else(missing)
    }

    /// As [`Netlink::vf_settings`], with the link of the PF. `None` when the PF does not exist.
    pub(crate) fn pf_with_vfs(
        &self,
        pf: &str,
        pf_ifindex: u32,
    ) -> Result<Option<(Link, VfSettings)>, Error> {
        let masks = vec![LinkExtentMask::Vf, LinkExtentMask::SkipStats];
        let found = self.vf_infos(pf, pf_ifindex, masks)?;
        Ok(found.map(|(link, infos)| (link, infos.iter().filter_map(parse_settings).collect())))
    }

    /// Returns the counters that the PF keeps for its VFs. On some NICs the driver asks the
    /// firmware for them.
    pub(crate) fn vf_counters(
        &self,
        pf: &str,
        pf_ifindex: u32,
    ) -> Result<BTreeMap<u32, VfCounters>, Error> {
        let found = self.vf_infos(pf, pf_ifindex, vec![LinkExtentMask::Vf])?;
        let missing = || vf_read_error(pf, NetlinkError::Refused(Errno::ENODEV));
        let (_, infos) = found.ok_or_else(missing)?;
        Ok(infos.iter().filter_map(parse_counters).collect())
    }

    fn vf_infos(
        &self,
        pf: &str,
        pf_ifindex: u32,
        masks: Vec<LinkExtentMask>,
    ) -> Result<Option<(Link, Vec<LinkVfInfo>)>, Error> {
        let mut message = link_message(pf_ifindex);
        message.attributes.push(LinkAttribute::ExtMask(masks));
        let mut found = None;
        let request = RouteNetlinkMessage::GetLink(message);
        let result = self.socket.request("read-vfs", request, Request::Get, |answer| {
            found = Link::parse(&answer.body).map(|link| (link, answer.parse()));
        });
        match result {
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => return Ok(None),
            result => result.map_err(|source| vf_read_error(pf, source))?,
        }
        let Some((link, message)) = found else { return Ok(None) };
        let RouteNetlinkMessage::NewLink(message) =
            message.map_err(|source| vf_read_error(pf, source))?
        else {
            return Ok(None);
        };
        let infos = message.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::VfInfoList(infos) => Some(infos),
            _ => None,
        });
        Ok(Some((link, infos.unwrap_or_default())))
    }

    /// Sends the changes to a VF in one message. The kernel (`do_setvfinfo`,
    /// `net/core/rtnetlink.c`) stops at the first change that fails and keeps the changes before
    /// it, so the caller must read the settings back, also after an error.
    pub(crate) fn set_vf(
        &self,
        pf_ifindex: u32,
        vf_index: u32,
        changes: &[Change],
    ) -> Result<(), NetlinkError> {
        let infos = changes.iter().map(|change| vf_info(vf_index, change)).collect();
        let mut message = link_message(pf_ifindex);
        message.attributes.push(LinkAttribute::VfInfoList(vec![LinkVfInfo(infos)]));
        self.set_link("vf-set", message)
    }

    /// Moves a link to another network namespace and renames it, in one message: so its old name
    /// may be in use there.
    pub(crate) fn move_to(
        &self,
        ifindex: u32,
        netns: BorrowedFd<'_>,
        name: &str,
    ) -> Result<(), NetlinkError> {
        let mut message = link_message(ifindex);
        message.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.set_link("move", message)
    }

    pub(crate) fn rename(&self, ifindex: u32, name: &str) -> Result<(), NetlinkError> {
        let mut message = link_message(ifindex);
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.set_link("rename", message)
    }

    pub(crate) fn set_mtu(&self, ifindex: u32, mtu: u32) -> Result<(), NetlinkError> {
        let mut message = link_message(ifindex);
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.set_link("mtu", message)
    }

    pub(crate) fn set_alias(&self, ifindex: u32, alias: &str) -> Result<(), NetlinkError> {
        let mut message = link_message(ifindex);
        message.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
        self.set_link("alias", message)
    }

    pub(crate) fn set_txqueuelen(&self, ifindex: u32, length: u32) -> Result<(), NetlinkError> {
        let mut message = link_message(ifindex);
        message.attributes.push(LinkAttribute::TxQueueLen(length));
        self.set_link("txqueuelen", message)
    }

    /// Whether a link has an address of any family. `false` when the link does not exist.
    pub(crate) fn has_address(&self, ifindex: u32) -> Result<bool, Error> {
        let mut message = AddressMessage::default();
        message.header.index = ifindex;
        let result = until_complete(|| {
            let mut found = false;
            let request = RouteNetlinkMessage::GetAddress(message.clone());
            self.socket.request("read-addresses", request, Request::Dump, |answer| {
                // The last field of `struct ifaddrmsg` is the link's index.
                let same_link = answer.body.get(4..8) == Some(&ifindex.to_ne_bytes());
                found |= answer.is(RTM_NEWADDR) && same_link;
            })?;
            Ok(found)
        });
        match result {
            Ok(found) => Ok(found),
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => Ok(false),
            Err(source) => Err(Error::Kernel(KernelError::Link {
                action: "list the addresses of",
                object: format!("link {ifindex}"),
                source,
            })),
        }
    }

    /// Turns on the flags that are `true` in `flags`, and changes no other flag.
    pub(crate) fn add_flags(&self, ifindex: u32, flags: Flags) -> Result<(), NetlinkError> {
        let mut message = link_message(ifindex);
        message.header.change_mask = link_flags(flags);
        message.header.flags = link_flags(flags);
        self.set_link("add-flags", message)
    }

    /// Turns off the flags that are `true` in `flags`, and changes no other flag.
    pub(crate) fn clear_flags(&self, ifindex: u32, flags: Flags) -> Result<(), NetlinkError> {
        let mut message = link_message(ifindex);
        message.header.change_mask = link_flags(flags);
        self.set_link("clear-flags", message)
    }

    /// Turns each of the four flags on or off, in one message, and changes no other flag.
    pub(crate) fn set_flags(&self, ifindex: u32, flags: Flags) -> Result<(), NetlinkError> {
        let mut message = link_message(ifindex);
        message.header.change_mask =
            LinkFlags::Up | LinkFlags::Promisc | LinkFlags::Allmulti | LinkFlags::Noarp;
        message.header.flags = link_flags(flags);
        self.set_link("flags", message)
    }
}

/// Events for all links of the network namespace of the calling thread, from the call of
/// [`LinkEvents::open`] on.
pub(crate) struct LinkEvents(LinkEventSocket);

impl LinkEvents {
    /// # Errors
    /// As [`Netlink::open`].
    pub(crate) fn open() -> Result<Self, Error> {
        LinkEventSocket::open().map(Self).map_err(socket_error)
    }

    /// Waits for the next event, but not beyond `deadline`.
    pub(crate) fn wait(&self, deadline: Instant) {
        self.0.wait(deadline);
    }
}

fn vf_read_error(pf: &str, source: NetlinkError) -> Error {
    Error::Kernel(KernelError::Link { action: "read the VFs of PF", object: pf.to_owned(), source })
}

fn socket_error(error: io::Error) -> Error {
    let source = NetlinkError::Transport(error.to_string());
    Error::Kernel(KernelError::Link {
        action: "open",
        object: "a netlink socket".to_owned(),
        source,
    })
}

fn link_flags(flags: Flags) -> LinkFlags {
    let mut bits = LinkFlags::empty();
    bits.set(LinkFlags::Up, flags.up);
    bits.set(LinkFlags::Promisc, flags.promisc);
    bits.set(LinkFlags::Allmulti, flags.allmulti);
    bits.set(LinkFlags::Noarp, flags.noarp);
    bits
}

fn link_message(ifindex: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    message
}
