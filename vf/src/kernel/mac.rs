//! MAC addresses in the notation of `ip`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An EUI-48 address, in transmission order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Whether the address is neither a group address nor all zeros, as in `is_valid_ether_addr`
    /// (`include/linux/etherdevice.h`).
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }

    /// A different address: unicast and locally administered (IEEE 802, 8.4), so that no vendor has
    /// assigned it.
    pub(crate) fn different_local(self) -> Self {
        let [a, b, c, d, e, f] = self.0;
        Self([a & !1 | 2, b, c, d, e, !f])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The text is not six pairs of hexadecimal digits with colons between them.
#[derive(Debug, thiserror::Error)]
#[error("not a MAC address")]
pub struct InvalidMac;

impl FromStr for MacAddress {
    type Err = InvalidMac;

    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let mut octets = [0; 6];
        let mut pairs = text.split(':');
        for octet in &mut octets {
            // `from_str_radix` alone would accept a leading sign.
            let is_hex =
                |pair: &&str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            let pair = pairs.next().filter(is_hex).ok_or(InvalidMac)?;
            *octet = u8::from_str_radix(pair, 16).map_err(|_| InvalidMac)?;
        }
        pairs.next().is_none().then_some(Self(octets)).ok_or(InvalidMac)
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for MacAddress {
    type Error = InvalidMac;

    fn try_from(text: String) -> Result<Self, InvalidMac> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_local_returns_another_unicast_address() {
        for mac in [[0; 6], [0xff; 6], [2, 0, 0, 0, 0, 1]].map(MacAddress) {
            assert!(mac.different_local() != mac && mac.different_local().is_unicast(), "{mac}");
        }
    }
}
