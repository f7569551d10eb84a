//! MAC addresses as `ip` writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// 48 bits, in the order of the wire.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Neither a group address nor all zeros: what `is_valid_ether_addr` of `include/linux/etherdevice.h` takes.
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }

    /// A different one that is nobody's: unicast, and locally administered (IEEE 802, 8.4).
    pub(crate) fn another(self) -> Self {
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

/// The text was not six pairs of hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not a MAC address")]
pub struct NotAMac;

impl FromStr for MacAddress {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let mut octets = [0; 6];
        let mut pairs = text.split(':');
        for octet in &mut octets {
            // `from_str_radix` would take a sign for the first digit.
            let hex = |pair: &&str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            let pair = pairs.next().filter(hex).ok_or(NotAMac)?;
            *octet = u8::from_str_radix(pair, 16).map_err(|_| NotAMac)?;
        }
        pairs.next().is_none().then_some(Self(octets)).ok_or(NotAMac)
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for MacAddress {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_address_is_one_and_is_other() {
        for mac in [[0; 6], [0xff; 6], [2, 0, 0, 0, 0, 1]].map(MacAddress) {
            assert!(mac.another() != mac && mac.another().is_unicast(), "{mac}");
        }
    }
}
