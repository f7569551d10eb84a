//! `RTM_NEWLINK`, as far as runvf looks at it.

use netlink_packet_route::link::{
    LinkAttribute, LinkFlags, LinkMessage, LinkXdp, Prop, XdpAttached,
};

use crate::MacAddress;

/// A network interface as the kernel describes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    pub(crate) ifindex: u32,
    pub(crate) name: String,
    pub(crate) altnames: Vec<String>,
    pub(crate) alias: String,
    pub(crate) flags: Flags,
    pub(crate) carrier: bool,
    pub(crate) mtu: u32,
    pub(crate) txqueuelen: u32,
    pub(crate) qdisc: String,
    /// How often promiscuity and reception of all multicast have been asked for, by flag or by socket.
    pub(crate) promiscuity: u32,
    pub(crate) allmulticast: u32,
    pub(crate) mac: MacAddress,
    /// `IFLA_PERM_ADDRESS`: what its driver found. All zeros when it found none and chose one.
    pub(crate) permanent: MacAddress,
    /// `IFLA_PARENT_DEV_NAME`: the PCI address of a VF's netdev, whatever its name and wherever it is.
    pub(crate) parent: Option<String>,
    pub(crate) master: bool,
    pub(crate) xdp: bool,
    /// `rx_packets` and `rx_missed_errors` of `struct rtnl_link_stats64`.
    pub(crate) received: u64,
    pub(crate) missed: u64,
}

/// The flags runvf sets and looks at, `include/uapi/linux/if.h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) up: bool,
    pub(crate) promisc: bool,
    pub(crate) allmulti: bool,
    pub(crate) noarp: bool,
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
                LinkAttribute::IfAlias(alias) => link.alias = alias,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::TxQueueLen(length) => link.txqueuelen = length,
                LinkAttribute::Qdisc(qdisc) => link.qdisc = qdisc,
                LinkAttribute::Promiscuity(count) => link.promiscuity = count,
                LinkAttribute::AllMulticast(count) => link.allmulticast = count,
                LinkAttribute::Address(octets) => {
                    link.mac = octets.try_into().map(MacAddress).unwrap_or_default();
                }
                LinkAttribute::PermAddress(octets) => {
                    link.permanent = octets.try_into().map(MacAddress).unwrap_or_default();
                }
                LinkAttribute::ParentDevName(parent) => link.parent = Some(parent),
                LinkAttribute::Controller(_) => link.master = true,
                LinkAttribute::Stats64(stats) => {
                    link.received = stats.rx_packets;
                    link.missed = stats.rx_missed_errors;
                }
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
