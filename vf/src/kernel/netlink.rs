//! rtnetlink: links as they are, and the few changes runvf makes to them.
//!
//! One request at a time, so the runtime is tokio's current-thread one, driven only while a request is under way.
//! A request is given up when the kernel does not answer. While it waits for its own network lock (RTNL) on our behalf, nothing can
//! be given up: a driver that hangs with that lock held stops everybody who has to do with networks.

mod link;
mod vf;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use futures_util::TryStreamExt;
use nix::errno::Errno;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage, LinkVfInfo,
};

pub(crate) use self::link::{Flags, Link};
use self::vf::{settings, vf_info};
use crate::error::Netlink as Failure;
use crate::plan::{Change, Settings};
use crate::{Error, fault};

/// Seconds a single request may take. iavf and i40e hold RTNL for hundreds of milliseconds while they reset a VF.
const PATIENCE: u64 = 20;

/// A route netlink socket in the network namespace of the thread that opened it.
pub(crate) struct Netlink {
    runtime: tokio::runtime::Runtime,
    handle: rtnetlink::Handle,
}

impl Netlink {
    /// # Errors
    /// [`Error::Link`] when there is no socket to be had.
    pub(crate) fn open() -> Result<Self, Error> {
        let broken = |error: io::Error| Error::Link {
            action: "open",
            object: "a netlink socket".to_owned(),
            source: Failure::Broken(error.to_string()),
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
        let handle = {
            let _inside = runtime.enter();
            let (connection, handle, _) = rtnetlink::new_connection().map_err(broken)?;
            runtime.spawn(connection);
            handle
        };
        Ok(Self { runtime, handle })
    }

    fn wait<T>(
        &self,
        point: &'static str,
        request: impl Future<Output = Result<T, rtnetlink::Error>>,
    ) -> Result<T, Failure> {
        fault::point(point).map_err(Failure::Refused)?;
        let bounded = async { tokio::time::timeout(Duration::from_secs(PATIENCE), request).await };
        match self.runtime.block_on(bounded) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(rtnetlink::Error::NetlinkError(message))) => {
                Err(Failure::Refused(Errno::from_raw(-message.raw_code())))
            }
            Ok(Err(other)) => Err(Failure::Broken(other.to_string())),
            Err(_) => Err(Failure::Silent(PATIENCE)),
        }
    }

    fn change(&self, point: &'static str, message: LinkMessage) -> Result<(), Failure> {
        self.wait(point, self.handle.link().change(message).execute())
    }

    /// The link with this index; `None` when there is none (any more).
    pub(crate) fn link(&self, ifindex: u32) -> Result<Option<Link>, Error> {
        let mut request = self.handle.link().get().match_index(ifindex).execute();
        match self.wait("read-link", request.try_next()) {
            Ok(message) => Ok(message.map(Link::from)),
            Err(failure) if failure.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(source) => {
                Err(Error::Link { action: "look at", object: format!("link {ifindex}"), source })
            }
        }
    }

    /// Every link of the namespace. Without VF information: that costs milliseconds a VF under RTNL on some NICs.
    pub(crate) fn links(&self) -> Result<Vec<Link>, Error> {
        let all: Vec<LinkMessage> = self
            .wait("read-links", self.handle.link().get().execute().try_collect())
            .map_err(|source| Error::Link { action: "list", object: "links".to_owned(), source })?;
        Ok(all.into_iter().map(Link::from).collect())
    }

    /// The link of a PCI function, if it is in this namespace.
    pub(crate) fn link_of(&self, pci: &str) -> Result<Option<Link>, Error> {
        Ok(self.links()?.into_iter().find(|link| link.parent.as_deref() == Some(pci)))
    }

    /// What the PF says of its VFs, by their indices. A VF that its driver cannot ask just now (i40e and ice during a reset) is
    /// missing from the kernel's answer, so a place in the list is no index.
    pub(crate) fn vf_settings(
        &self,
        pf: &str,
        pf_ifindex: u32,
    ) -> Result<BTreeMap<u32, Settings>, Error> {
        let get = self
            .handle
            .link()
            .get()
            .set_filter_mask(
                AddressFamily::Unspec,
                vec![LinkExtentMask::Vf, LinkExtentMask::SkipStats],
            )
            .match_index(pf_ifindex);
        let message = self.wait("read-vfs", get.execute().try_next()).map_err(|source| {
            Error::Link { action: "read the VFs of PF", object: pf.to_owned(), source }
        })?;
        let infos =
            message.into_iter().flat_map(|message| message.attributes).find_map(|attribute| {
                match attribute {
                    LinkAttribute::VfInfoList(infos) => Some(infos),
                    _ => None,
                }
            });
        Ok(infos.unwrap_or_default().iter().filter_map(settings).collect())
    }

    /// Sends the changes in one message. The kernel (`do_setvfinfo`, `net/core/rtnetlink.c`) stops at the first it cannot
    /// do and leaves what it has done: read back, whatever this returns.
    pub(crate) fn set_vf(
        &self,
        pf_ifindex: u32,
        vf_index: u32,
        changes: &[Change],
    ) -> Result<(), Failure> {
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
    ) -> Result<(), Failure> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.change("move", message)
    }

    pub(crate) fn rename(&self, ifindex: u32, name: &str) -> Result<(), Failure> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.change("rename", message)
    }

    pub(crate) fn set_mtu(&self, ifindex: u32, mtu: u32) -> Result<(), Failure> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.change("mtu", message)
    }

    pub(crate) fn set_alias(&self, ifindex: u32, alias: &str) -> Result<(), Failure> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
        self.change("alias", message)
    }

    pub(crate) fn set_txqueuelen(&self, ifindex: u32, length: u32) -> Result<(), Failure> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::TxQueueLen(length));
        self.change("txqueuelen", message)
    }

    /// Whether a link has an IP address of any family.
    pub(crate) fn has_address(&self, ifindex: u32) -> Result<bool, Error> {
        let request = self.handle.address().get().set_link_index_filter(ifindex).execute();
        let all: Vec<_> =
            self.wait("read-addresses", request.try_collect()).map_err(|source| Error::Link {
                action: "list the addresses of",
                object: format!("link {ifindex}"),
                source,
            })?;
        Ok(!all.is_empty())
    }

    /// Sets those of the flags that are on, and touches no other.
    pub(crate) fn add_flags(&self, ifindex: u32, flags: Flags) -> Result<(), Failure> {
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
    pub(crate) fn set_flags(&self, ifindex: u32, flags: Flags) -> Result<(), Failure> {
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

fn addressed(ifindex: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    message
}
