//! A marked frame as bytes.

use crate::kernel::mac::MacAddress;
use crate::kernel::packet::ETHERTYPE;

/// What every frame says after its header.
const MARK: &[u8; 12] = b"runvf probe ";

/// IEEE Std 802.3, 3.2.8: the least that a frame has, less its check sequence.
const LEAST: usize = 60;

pub(super) const EVERYBODY: MacAddress = MacAddress([0xff; 6]);
/// Locally administered, so that no NIC comes with them.
pub(super) const GROUP: MacAddress = MacAddress([0x03, 0, 0x5e, 0x76, 0x66, 0x02]);
pub(super) const NOBODY: MacAddress = MacAddress([0x02, 0, 0x5e, 0x76, 0x66, 0x01]);

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The same for all frames of a probe, and for no other probe's.
    pub(super) nonce: u64,
    /// Its place among the flows.
    pub(super) flow: u8,
    pub(super) number: u16,
}

pub(super) fn encode(from: MacAddress, to: MacAddress, mark: Mark) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LEAST);
    bytes.extend(to.0);
    bytes.extend(from.0);
    bytes.extend(ETHERTYPE.to_be_bytes());
    bytes.extend(MARK);
    bytes.extend(mark.nonce.to_be_bytes());
    bytes.push(mark.flow);
    bytes.extend(mark.number.to_be_bytes());
    bytes.resize(LEAST, 0);
    bytes
}

/// `None`: it is not one of ours.
pub(super) fn decode(bytes: &[u8]) -> Option<Mark> {
    let rest = bytes.get(12..)?.strip_prefix(&ETHERTYPE.to_be_bytes())?.strip_prefix(MARK)?;
    let (nonce, rest) = rest.split_first_chunk()?;
    let (flow, rest) = rest.split_first()?;
    let (number, _) = rest.split_first_chunk()?;
    Some(Mark {
        nonce: u64::from_be_bytes(*nonce),
        flow: *flow,
        number: u16::from_be_bytes(*number),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_what_it_is_and_others_say_nothing() {
        let mark = Mark { nonce: 0x0102_0304_0506_0708, flow: 7, number: 515 };
        let bytes = encode(NOBODY, EVERYBODY, mark);
        assert_eq!(
            (bytes.len(), &bytes[..6], &bytes[12..14]),
            (60, &[0xff; 6][..], &[0x88, 0xb5][..])
        );
        assert_eq!(decode(&bytes), Some(mark));
        for length in 0..37 {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
        let mut other = bytes.clone();
        other[13] = 0;
        assert_eq!(decode(&other), None);
        other = bytes;
        other[20] = b'x';
        assert_eq!(decode(&other), None);
    }

    #[test]
    fn the_group_is_one_and_nobody_is_none() {
        assert!(!GROUP.is_unicast() && NOBODY.is_unicast());
    }
}
