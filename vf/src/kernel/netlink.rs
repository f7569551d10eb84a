//! rtnetlink: links as they are, and the few changes runvf makes to them.
//!
//! One request at a time, so the runtime is tokio's current-thread one, driven only while a request is under way.
//! Every request is bounded: the kernel answers under RTNL, which a driver may hold for long.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use futures_util::TryStreamExt;
use nix::errno::Errno;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage, LinkVfInfo, LinkXdp, Prop, VfInfo,
    VfInfoLinkState, VfInfoMac, VfInfoSpoofCheck, VfInfoTrust, VfInfoVlan, VfLinkState, VfVlan,
    VfVlanInfo, VlanProtocol, XdpAttached,
};

use crate::error::Netlink as Failure;
use crate::plan::{Change, LinkState, Settings};
use crate::{Error, MacAddress, VlanProto};

/// Seconds a single request may take. iavf and i40e hold RTNL for hundreds of milliseconds while they reset a VF.
const PATIENCE: u64 = 20;

/// A route netlink socket in the network namespace of the thread that opened it.
pub(crate) struct Netlink {
    runtime: tokio::runtime::Runtime,
    handle: rtnetlink::Handle,
}

/// A network interface as the kernel describes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    pub(crate) ifindex: u32,
    pub(crate) name: String,
    pub(crate) altnames: Vec<String>,
    pub(crate) flags: Flags,
    pub(crate) carrier: bool,
    pub(crate) mtu: u32,
    pub(crate) mac: MacAddress,
    /// `IFLA_PARENT_DEV_NAME`: the PCI address of a VF's netdev, whatever its name and wherever it is.
    pub(crate) parent: Option<String>,
    pub(crate) master: bool,
    pub(crate) xdp: bool,
}

/// The flags runvf sets and looks at, `include/uapi/linux/if.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) up: bool,
    pub(crate) promisc: bool,
    pub(crate) allmulti: bool,
    pub(crate) noarp: bool,
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
        request: impl Future<Output = Result<T, rtnetlink::Error>>,
    ) -> Result<T, Failure> {
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

    /// The link with this index; `None` when there is none (any more).
    pub(crate) fn link(&self, ifindex: u32) -> Result<Option<Link>, Error> {
        match self.wait(self.handle.link().get().match_index(ifindex).execute().try_next()) {
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
            .wait(self.handle.link().get().execute().try_collect())
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
        let message = self.wait(get.execute().try_next()).map_err(|source| Error::Link {
            action: "read the VFs of PF",
            object: pf.to_owned(),
            source,
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
        self.wait(self.handle.link().change(message).execute())
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
        self.wait(self.handle.link().change(message).execute())
    }

    pub(crate) fn rename(&self, ifindex: u32, name: &str) -> Result<(), Failure> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.wait(self.handle.link().change(message).execute())
    }

    pub(crate) fn set_mtu(&self, ifindex: u32, mtu: u32) -> Result<(), Failure> {
        let mut message = addressed(ifindex);
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.wait(self.handle.link().change(message).execute())
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
        self.wait(self.handle.link().change(message).execute())
    }
}

fn addressed(ifindex: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    message
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let has = |flag| message.header.flags.contains(flag);
        let mut link = Self {
            ifindex: message.header.index,
            flags: Flags {
                up: has(LinkFlags::Up),
                promisc: has(LinkFlags::Promisc),
                allmulti: has(LinkFlags::Allmulti),
                noarp: has(LinkFlags::Noarp),
            },
            carrier: has(LinkFlags::LowerUp),
            ..Self::default()
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Address(octets) => {
                    link.mac = octets.try_into().map(MacAddress).unwrap_or_default();
                }
                LinkAttribute::ParentDevName(parent) => link.parent = Some(parent),
                LinkAttribute::Controller(_) => link.master = true,
                LinkAttribute::Xdp(xdp) => link.xdp = xdp.iter().any(attached),
                LinkAttribute::PropList(props) => {
                    link.altnames = props.into_iter().filter_map(altname).collect();
                }
                _ => {}
            }
        }
        link
    }
}

fn attached(xdp: &LinkXdp) -> bool {
    matches!(xdp, LinkXdp::Attached(how) if *how != XdpAttached::None)
}

fn altname(prop: Prop) -> Option<String> {
    match prop {
        Prop::AltIfName(name) => Some(name),
        _ => None,
    }
}

fn settings(info: &LinkVfInfo) -> Option<(u32, Settings)> {
    let mut settings = Settings::default();
    let mut index = None;
    for attribute in &info.0 {
        match attribute {
            VfInfo::Mac(mac) => {
                // The kernel's field has room for InfiniBand's 32 octets.
                settings.mac = mac.mac.first_chunk().copied().map(MacAddress).unwrap_or_default();
            }
            VfInfo::Vlan(vlan) => {
                index = Some(vlan.vf_id);
                settings.vlan = vlan.vlan_id;
                settings.qos = vlan.qos;
            }
            VfInfo::VlanList(list) => {
                if let Some(VfVlan::Info(VfVlanInfo {
                    protocol: VlanProtocol::Ieee8021Ad, ..
                })) = list.first()
                {
                    settings.proto = VlanProto::Dot1Ad;
                }
            }
            VfInfo::Trust(trust) => settings.trust = trust.enabled,
            VfInfo::SpoofCheck(check) => settings.spoof_check = check.enabled,
            VfInfo::LinkState(link) => {
                settings.link_state = match link.state {
                    VfLinkState::Enable => LinkState::Enable,
                    VfLinkState::Disable => LinkState::Disable,
                    _ => LinkState::Auto,
                }
            }
            _ => {}
        }
    }
    Some((index?, settings))
}

fn vf_info(vf: u32, change: &Change) -> VfInfo {
    match *change {
        Change::Mac(mac) => VfInfo::Mac(VfInfoMac::new(vf, &mac.0)),
        // A driver that knows only 802.1Q may not look at the newer attribute's protocol at all.
        Change::Vlan { vlan, qos, proto: VlanProto::Dot1Q } => {
            VfInfo::Vlan(VfInfoVlan::new(vf, vlan, qos))
        }
        Change::Vlan { vlan, qos, proto: VlanProto::Dot1Ad } => {
            VfInfo::VlanList(vec![VfVlan::Info(VfVlanInfo::new(
                vf,
                vlan,
                qos,
                VlanProtocol::Ieee8021Ad,
            ))])
        }
        Change::Trust(on) => VfInfo::Trust(VfInfoTrust::new(vf, on)),
        Change::SpoofCheck(on) => VfInfo::SpoofCheck(VfInfoSpoofCheck::new(vf, on)),
        Change::LinkState(state) => VfInfo::LinkState(VfInfoLinkState::new(
            vf,
            match state {
                LinkState::Auto => VfLinkState::Auto,
                LinkState::Enable => VfLinkState::Enable,
                LinkState::Disable => VfLinkState::Disable,
            },
        )),
    }
}
