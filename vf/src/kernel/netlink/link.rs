//! `RTM_NEWLINK`, as far as runvf looks at it.

use netlink_packet_core::NlasIterator;
use netlink_packet_route::link::LinkFlags;

use crate::kernel::mac::MacAddress;

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

/// `include/uapi/linux/if_link.h`
mod ifla {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const QDISC: u16 = 6;
    pub(super) const MASTER: u16 = 10;
    pub(super) const TXQLEN: u16 = 13;
    pub(super) const IFALIAS: u16 = 20;
    pub(super) const STATS64: u16 = 23;
    pub(super) const PROMISCUITY: u16 = 30;
    pub(super) const XDP: u16 = 43;
    pub(super) const PROP_LIST: u16 = 52;
    pub(super) const ALT_IFNAME: u16 = 53;
    pub(super) const PERM_ADDRESS: u16 = 54;
    pub(super) const PARENT_DEV_NAME: u16 = 56;
    pub(super) const ALLMULTI: u16 = 61;
    pub(super) const XDP_ATTACHED: u16 = 2;
}

/// `struct ifinfomsg`, `include/uapi/linux/rtnetlink.h`
const HEADER: usize = 16;
/// Offsets in `struct rtnl_link_stats64`.
const RX_PACKETS: usize = 0;
const RX_MISSED_ERRORS: usize = 15 * 8;

impl Link {
    /// What follows the netlink header of an `RTM_NEWLINK`. `None`: it is too short to be one.
    ///
    /// Not by `netlink-packet-route`, which takes the whole message for broken if one attribute is not as it expects. A container writes
    /// some of them: an alias, an alternative name or an interface's name of bytes that are no UTF-8 is enough. Here such a text has
    /// U+FFFD in their place, and what else cannot be read is as if it were not there.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let attributed = message.get(HEADER..)?;
        let (ifindex, flags) =
            (u32_at(message, 4), LinkFlags::from_bits_retain(u32_at(message, 8)));
        let has = |flag| flags.contains(flag);
        let mut link = Self {
            ifindex,
            flags: Flags {
                up: has(LinkFlags::Up),
                promisc: has(LinkFlags::Promisc),
                allmulti: has(LinkFlags::Allmulti),
                noarp: has(LinkFlags::Noarp),
            },
            carrier: has(LinkFlags::LowerUp),
            ..Self::default()
        };
        each(attributed, |kind, value| link.take(kind, value));
        Some(link)
    }

    fn take(&mut self, kind: u16, value: &[u8]) {
        match kind {
            ifla::IFNAME => self.name = text(value),
            ifla::IFALIAS => self.alias = text(value),
            ifla::QDISC => self.qdisc = text(value),
            ifla::PARENT_DEV_NAME => self.parent = Some(text(value)),
            ifla::MTU => self.mtu = u32_at(value, 0),
            ifla::TXQLEN => self.txqueuelen = u32_at(value, 0),
            ifla::PROMISCUITY => self.promiscuity = u32_at(value, 0),
            ifla::ALLMULTI => self.allmulticast = u32_at(value, 0),
            ifla::ADDRESS => self.mac = mac(value),
            ifla::PERM_ADDRESS => self.permanent = mac(value),
            ifla::MASTER => self.master = true,
            ifla::STATS64 => {
                self.received = u64_at(value, RX_PACKETS);
                self.missed = u64_at(value, RX_MISSED_ERRORS);
            }
            ifla::XDP => each(value, |kind, how| {
                self.xdp |= kind == ifla::XDP_ATTACHED && how.first().is_some_and(|it| *it != 0);
            }),
            ifla::PROP_LIST => each(value, |kind, name| {
                self.altnames.extend((kind == ifla::ALT_IFNAME).then(|| text(name)));
            }),
            _ => {}
        }
    }
}

/// Up to the first that is broken.
fn each(attributes: &[u8], mut take: impl FnMut(u16, &[u8])) {
    for one in NlasIterator::new(attributes).map_while(Result::ok) {
        take(one.kind(), one.value());
    }
}

/// Zero-terminated, mostly.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

fn u32_at(value: &[u8], at: usize) -> u32 {
    value.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_ne_bytes)
}

fn u64_at(value: &[u8], at: usize) -> u64 {
    value.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u64::from_ne_bytes)
}

fn mac(value: &[u8]) -> MacAddress {
    value.try_into().map(MacAddress).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[4..8].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[8..12].copy_from_slice(&(LinkFlags::Up | LinkFlags::Promisc).bits().to_ne_bytes());
        bytes.extend(attributes.concat());
        bytes
    }

    /// `NLA_F_NESTED`
    const NESTED: u16 = 1 << 15;

    #[test]
    fn a_text_that_is_no_utf_8_hides_nothing() {
        let names = [attribute(ifla::ALT_IFNAME, b"\xff\0"), attribute(ifla::ALT_IFNAME, b"b\0")];
        let link = Link::parse(&message(&[
            attribute(ifla::IFNAME, b"mon\xff\0"),
            attribute(ifla::IFALIAS, b"\xff"),
            attribute(ifla::PROP_LIST | NESTED, &names.concat()),
            attribute(ifla::XDP | NESTED, &attribute(ifla::XDP_ATTACHED, &[1])),
            attribute(ifla::PARENT_DEV_NAME, b"0000:01:10.0\0"),
        ]))
        .unwrap();
        assert_eq!((link.ifindex, link.flags.up, link.flags.promisc), (7, true, true));
        assert_eq!((link.name.as_str(), link.alias.as_str()), ("mon\u{fffd}", "\u{fffd}"));
        assert_eq!(link.altnames, ["\u{fffd}", "b"]);
        assert_eq!(link.parent.as_deref(), Some("0000:01:10.0"));
        assert!(link.xdp && !link.master);
    }

    #[test]
    fn what_is_cut_short_is_not_there() {
        assert!(Link::parse(&[0; HEADER - 1]).is_none());
        let mut cut = message(&[attribute(ifla::MTU, &[1, 2]), attribute(ifla::IFNAME, b"a\0")]);
        assert_eq!(Link::parse(&cut).map(|link| (link.mtu, link.name)), Some((0, "a".into())));
        cut.extend([200, 0, 3, 0]);
        assert_eq!(Link::parse(&cut).map(|link| link.name), Some("a".into()));
    }
}
