//! VLANs as a tenant's are written: numbers, and ranges as text.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `100` or `"200-299"`, both ends included, within 1–4094: 0 and 4095 name no VLAN (IEEE 802.1Q, table 9-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VlanRange {
    pub first: u16,
    pub last: u16,
}

impl VlanRange {
    pub(crate) fn contains(self, vlan: u16) -> bool {
        (self.first..=self.last).contains(&vlan)
    }

    /// The VLANs that are in both.
    pub(crate) fn overlap(self, other: Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { first, last })
    }

    fn new(first: u16, last: u16) -> Option<Self> {
        (1 <= first && first <= last && last <= 4094).then_some(Self { first, last })
    }
}

impl FromStr for VlanRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        // `u16::from_str` takes a leading `+`; nobody means that.
        let number = |text: &str| {
            let text = text.trim();
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
        };
        number(first).zip(number(last)).and_then(|(first, last)| Self::new(first, last)).ok_or(())
    }
}

impl fmt::Display for VlanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

pub(crate) fn list(ranges: &[VlanRange]) -> String {
    ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Serialize for VlanRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.first == self.last {
            true => serializer.serialize_u16(self.first),
            false => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for VlanRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// A visitor, since serde's untagged enums say no more than that nothing matched.
struct Written;

impl Visitor<'_> for Written {
    type Value = VlanRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a VLAN from 1 to 4094, or a range as in \"200-299\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<VlanRange, E> {
        let vlan = u16::try_from(number).ok().and_then(|vlan| VlanRange::new(vlan, vlan));
        vlan.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<VlanRange, E> {
        text.parse().map_err(|()| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_ends_within_the_vlans_there_are() {
        let parsed = |text: &str| text.parse::<VlanRange>().map(|range| range.to_string());
        for (text, shown) in
            [("1", "1"), ("200-299", "200-299"), ("7 - 7", "7"), ("1-4094", "1-4094")]
        {
            assert_eq!(parsed(text).as_deref(), Ok(shown));
        }
        for text in
            ["", "-", "0", "4095", "0-5", "9-8", "5-", "-5", "1-2-3", "+5", "a", "1-4095", "65541"]
        {
            assert_eq!(parsed(text), Err(()), "{text}");
        }
    }

    #[test]
    fn what_two_ranges_share_is_seen() {
        let range = |text: &str| text.parse::<VlanRange>().unwrap();
        assert_eq!(range("1-10").overlap(range("10-20")), Some(range("10")));
        assert_eq!(range("1-10").overlap(range("3-4")), Some(range("3-4")));
        assert_eq!(range("1-10").overlap(range("11")), None);
    }
}
