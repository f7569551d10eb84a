//! Parses the attributes of `RTM_NEWLINK` that runvf needs.

use netlink_packet_core::NlasIterator;
use netlink_packet_route::link::LinkFlags;

use crate::kernel::carrier::CarrierCounts;
use crate::kernel::mac::MacAddress;

/// `include/uapi/linux/rtnetlink.h`
pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;

/// A network interface, as the kernel reports it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    pub(crate) ifindex: u32,
    pub(crate) name: String,
    pub(crate) altnames: Vec<String>,
    pub(crate) alias: String,
    pub(crate) flags: Flags,
    pub(crate) carrier: bool,
    pub(crate) carrier_counts: CarrierCounts,
    pub(crate) mtu: u32,
    pub(crate) txqueuelen: u32,
    pub(crate) qdisc: String,
    /// The number of requests for promiscuous mode, by flag or by socket.
    pub(crate) promiscuity: u32,
    /// The number of requests to receive all multicast frames, by flag or by socket.
    pub(crate) allmulticast: u32,
    pub(crate) mac: MacAddress,
    /// `IFLA_PERM_ADDRESS`: the address that the driver found. All zeros if it found none and chose
    /// a random one.
    pub(crate) permanent_mac: MacAddress,
    /// `IFLA_PARENT_DEV_NAME`: the PCI address of the device. It does not depend on the netdev's
    /// name or network namespace.
    pub(crate) parent: Option<String>,
    /// Whether the interface is a port of another one, such as a bridge or a bond.
    pub(crate) master: bool,
    /// Whether an XDP program is attached.
    pub(crate) xdp: bool,
    /// `rx_packets` and `rx_missed_errors` of `struct rtnl_link_stats64`.
    pub(crate) received: u64,
    pub(crate) missed: u64,
}

/// The interface flags that runvf reads and sets (`include/uapi/linux/if.h`).
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
    pub(super) const CARRIER_CHANGES: u16 = 35;
    pub(super) const XDP: u16 = 43;
    pub(super) const CARRIER_DOWN_COUNT: u16 = 48;
    pub(super) const PROP_LIST: u16 = 52;
    pub(super) const ALT_IFNAME: u16 = 53;
    pub(super) const PERM_ADDRESS: u16 = 54;
    pub(super) const PARENT_DEV_NAME: u16 = 56;
    pub(super) const ALLMULTI: u16 = 61;
    pub(super) const XDP_ATTACHED: u16 = 2;
}

/// The length of `struct ifinfomsg` (`include/uapi/linux/rtnetlink.h`), in bytes.
const HEADER: usize = 16;
/// Byte offsets in `struct rtnl_link_stats64`.
const RX_PACKETS_OFFSET: usize = 0;
const RX_MISSED_ERRORS_OFFSET: usize = 15 * 8;

impl Link {
    /// Parses the body of an `RTM_NEWLINK`, after the netlink header. `None`: the body is too
    /// short.
    ///
    /// This does not use `netlink-packet-route`, because that crate rejects the whole message if
    /// one attribute is not as it expects, and a container controls some attributes: it can set an
    /// alias, an alternative name or an interface name that is not UTF-8. This parser replaces
    /// invalid UTF-8 by U+FFFD and ignores other attributes that it cannot parse.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let attributes = message.get(HEADER..)?;
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
        for_each_attribute(attributes, |kind, value| link.set_attribute(kind, value));
        Some(link)
    }

    fn set_attribute(&mut self, kind: u16, value: &[u8]) {
        match kind {
            ifla::IFNAME => self.name = text(value),
            ifla::IFALIAS => self.alias = text(value),
            ifla::QDISC => self.qdisc = text(value),
            ifla::PARENT_DEV_NAME => self.parent = Some(text(value)),
            ifla::MTU => self.mtu = u32_at(value, 0),
            ifla::TXQLEN => self.txqueuelen = u32_at(value, 0),
            ifla::CARRIER_CHANGES => self.carrier_counts.changes = u32_at(value, 0),
            ifla::CARRIER_DOWN_COUNT => self.carrier_counts.downs = u32_at(value, 0),
            ifla::PROMISCUITY => self.promiscuity = u32_at(value, 0),
            ifla::ALLMULTI => self.allmulticast = u32_at(value, 0),
            ifla::ADDRESS => self.mac = mac(value),
            ifla::PERM_ADDRESS => self.permanent_mac = mac(value),
            ifla::MASTER => self.master = true,
            ifla::STATS64 => {
                self.received = u64_at(value, RX_PACKETS_OFFSET);
                self.missed = u64_at(value, RX_MISSED_ERRORS_OFFSET);
            }
            ifla::XDP => for_each_attribute(value, |kind, mode| {
                self.xdp |= kind == ifla::XDP_ATTACHED && mode.first().is_some_and(|it| *it != 0);
            }),
            ifla::PROP_LIST => for_each_attribute(value, |kind, name| {
                self.altnames.extend((kind == ifla::ALT_IFNAME).then(|| text(name)));
            }),
            _ => {}
        }
    }
}

/// Calls `handle` with the kind and the value of each attribute, up to the first malformed one.
pub(super) fn for_each_attribute(attributes: &[u8], mut handle: impl FnMut(u16, &[u8])) {
    for attribute in NlasIterator::new(attributes).map_while(Result::ok) {
        handle(attribute.kind(), attribute.value());
    }
}

/// The text up to the first zero byte, or the whole value if it has none.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

pub(super) fn u32_at(value: &[u8], at: usize) -> u32 {
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
    fn invalid_utf_8_does_not_hide_other_attributes() {
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
    fn a_truncated_attribute_is_ignored() {
        assert!(Link::parse(&[0; HEADER - 1]).is_none());
        let mut truncated =
            message(&[attribute(ifla::MTU, &[1, 2]), attribute(ifla::IFNAME, b"a\0")]);
        assert_eq!(
            Link::parse(&truncated).map(|link| (link.mtu, link.name)),
            Some((0, "a".into()))
        );
        truncated.extend([200, 0, 3, 0]);
        assert_eq!(Link::parse(&truncated).map(|link| link.name), Some("a".into()));
    }
}
