//! The messages of nfnetlink (`include/uapi/linux/netfilter/nfnetlink.h`): a netlink header, the
//! header `struct nfgenmsg`, and attributes.

use netlink_packet_core::NLM_F_REQUEST;

/// `NFNL_SUBSYS_NFTABLES`
const NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// `NFPROTO_NETDEV`
const NETDEV: u8 = 5;
/// `NLMSG_ERROR`
const ERROR: u16 = 2;
const NESTED: u16 = 1 << 15;
/// The lengths of `struct nlmsghdr`, `struct nfgenmsg` and `struct nlattr`, in bytes.
const HEADER: usize = 16;
const GENERIC_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;

/// Attributes in their order in the message.
#[derive(Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    fn add(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (ATTRIBUTE_HEADER + value.len()) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(super) fn text(self, kind: u16, text: &str) -> Self {
        self.add(kind, &[text.as_bytes(), &[0]].concat())
    }

    pub(super) fn number(self, kind: u16, number: u32) -> Self {
        self.add(kind, &number.to_be_bytes())
    }

    pub(super) fn nested(self, kind: u16, attributes: &Attributes) -> Self {
        self.add(kind | NESTED, &attributes.0)
    }
}

pub(super) struct Message {
    kind: u16,
    flags: u16,
    family: u8,
    resource: u16,
    attributes: Attributes,
}

impl Message {
    /// A message of nf_tables for the family netdev.
    pub(super) fn new(kind: u8, flags: u16, attributes: Attributes) -> Self {
        let kind = NFTABLES << 8 | u16::from(kind);
        Self { kind, flags, family: NETDEV, resource: 0, attributes }
    }

    pub(super) fn batch_begin() -> Self {
        Self::batch(BATCH_BEGIN)
    }

    pub(super) fn batch_end() -> Self {
        Self::batch(BATCH_END)
    }

    fn batch(kind: u16) -> Self {
        Self { kind, flags: 0, family: 0, resource: NFTABLES, attributes: Attributes::default() }
    }

    pub(super) fn serialize(&self, sequence: u32) -> Vec<u8> {
        let length = HEADER + GENERIC_HEADER + self.attributes.0.len();
        let mut bytes = (length as u32).to_ne_bytes().to_vec();
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend((self.flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend([self.family, 0]);
        bytes.extend(self.resource.to_be_bytes());
        bytes.extend(&self.attributes.0);
        bytes
    }
}

/// An answer of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// 0, or a negated errno, for the message with this sequence number.
    Code { code: i32, sequence: u32 },
    /// The attributes of a chain.
    Chain(Vec<u8>),
}

/// Parses a datagram of the kernel. Other messages than replies are left out.
pub(super) fn replies(datagram: &[u8]) -> Vec<Reply> {
    let mut found = Vec::new();
    let mut rest = datagram;
    while let Some(length) = rest.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes) as usize) {
        let Some(message) = rest.get(..length).filter(|_| length >= HEADER) else { break };
        found.extend(parse(message));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn parse(message: &[u8]) -> Option<Reply> {
    let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
    let sequence = u32::from_ne_bytes(*message.get(8..)?.first_chunk()?);
    let body = message.get(HEADER..)?;
    match kind {
        ERROR => Some(Reply::Code { code: i32::from_ne_bytes(*body.first_chunk()?), sequence }),
        _ if kind >> 8 == NFTABLES => Some(Reply::Chain(body.get(GENERIC_HEADER..)?.to_vec())),
        _ => None,
    }
}

/// The value of an attribute.
pub(super) fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut rest = attributes;
    loop {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let found = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?) & !NESTED;
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        if found == kind {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_attribute_is_found_behind_others_and_in_nested_ones() {
        let inner = Attributes::default().number(1, 7).text(3, "mon0");
        let all = Attributes::default().text(1, "abcd").nested(4, &inner);
        assert_eq!(attribute(&all.0, 1), Some(&b"abcd\0"[..]));
        let nested = attribute(&all.0, 4).unwrap();
        assert_eq!(attribute(nested, 1), Some(&[0, 0, 0, 7][..]));
        assert_eq!(attribute(nested, 3), Some(&b"mon0\0"[..]));
        assert_eq!(attribute(nested, 9), None);
    }

    #[test]
    fn replies_of_one_datagram_keep_their_order() {
        let error = |code: i32, sequence: u32| {
            let mut bytes = 20_u32.to_ne_bytes().to_vec();
            bytes.extend(ERROR.to_ne_bytes());
            bytes.extend([0; 2]);
            bytes.extend(sequence.to_ne_bytes());
            bytes.extend([0; 4]);
            bytes.extend(code.to_ne_bytes());
            bytes
        };
        let chain = Message::new(3, 0, Attributes::default().text(1, "t")).serialize(9);
        let datagram = [error(-95, 3), chain, error(0, 4)].concat();
        let found = replies(&datagram);
        assert_eq!(found[0], Reply::Code { code: -95, sequence: 3 });
        assert!(matches!(&found[1], Reply::Chain(chain) if attribute(chain, 1) == Some(b"t\0")));
        assert_eq!(found[2], Reply::Code { code: 0, sequence: 4 });
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            for reply in replies(&bytes) {
                if let Reply::Chain(chain) = reply {
                    let _ = attribute(&chain, 4);
                }
            }
            let _ = attribute(&bytes, 1);
        }
    }
}
