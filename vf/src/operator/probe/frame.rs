//! Encodes and decodes the marked frames of a probe.

use crate::kernel::mac::MacAddress;
use crate::kernel::packet::ETHERTYPE;

/// The start of every payload.
const MARK: &[u8; 12] = b"runvf probe ";

/// The minimum length of a frame without its check sequence (IEEE Std 802.3, 3.2.8).
const MIN_LENGTH: usize = 60;

pub(super) const BROADCAST: MacAddress = MacAddress([0xff; 6]);
/// A group that no VF has joined. Locally administered like [`UNKNOWN_ADDRESS`], so no NIC has
/// these addresses from the factory.
pub(super) const GROUP: MacAddress = MacAddress([0x03, 0, 0x5e, 0x76, 0x66, 0x02]);
/// An address that no VF has.
pub(super) const UNKNOWN_ADDRESS: MacAddress = MacAddress([0x02, 0, 0x5e, 0x76, 0x66, 0x01]);

/// The identification in the payload of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Identifies the probe.
    pub(super) nonce: u64,
    /// The index of the flow in [`super::topology::flows`].
    pub(super) flow: u8,
    pub(super) number: u16,
}

pub(super) fn encode(from: MacAddress, to: MacAddress, mark: Mark) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MIN_LENGTH);
    bytes.extend(to.0);
    bytes.extend(from.0);
    bytes.extend(ETHERTYPE.to_be_bytes());
    bytes.extend(MARK);
    bytes.extend(mark.nonce.to_be_bytes());
    bytes.push(mark.flow);
    bytes.extend(mark.number.to_be_bytes());
    bytes.resize(MIN_LENGTH, 0);
    bytes
}

/// Reads the mark of a frame. `None`: the frame does not come from a probe.
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
    fn decode_reads_marked_frames_and_ignores_others() {
        let mark = Mark { nonce: 0x0102_0304_0506_0708, flow: 7, number: 515 };
        let bytes = encode(UNKNOWN_ADDRESS, BROADCAST, mark);
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
    fn the_group_is_multicast_and_the_unknown_address_is_unicast() {
        assert!(!GROUP.is_unicast() && UNKNOWN_ADDRESS.is_unicast());
    }
}
