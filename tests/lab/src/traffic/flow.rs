//! The flows of a test: frames of one class on one VLAN.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

pub type Mac = [u8; 6];

/// Parses a MAC address as `ip` prints it, such as `02:00:00:00:00:01`.
pub fn mac(text: &str) -> Option<Mac> {
    let mut bytes = text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16));
    let mut mac = [0; 6];
    for byte in &mut mac {
        *byte = bytes.next()?.ok()?;
    }
    bytes.next().is_none().then_some(mac)
}

/// The receiver and the contents of a frame.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Broadcast,
    /// To an existing station, such as the MAC address of a VF.
    Unicast(Mac),
    /// To a station that does not exist; only a promiscuous port receives it.
    UnknownUnicast,
    /// A broadcast with this text in the payload, for a rule of a sensor.
    Pattern(String),
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broadcast => f.write_str("broadcast"),
            Self::Unicast(mac) => {
                write!(f, "unicast-{}", mac.map(|byte| format!("{byte:02x}")).join(":"))
            }
            Self::UnknownUnicast => f.write_str("unknown-unicast"),
            Self::Pattern(text) => write!(f, "pattern-{text:?}"),
        }
    }
}

/// `count` frames of one class on one VLAN, or untagged frames if `vlan` is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub vlan: Option<u16>,
    pub class: Class,
    pub count: u32,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vlan {
            Some(vlan) => write!(f, "vlan {vlan} {}", self.class),
            None => write!(f, "untagged {}", self.class),
        }
    }
}

/// A list of flows that are sent together.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// Distinguishes these frames from the frames of earlier traffic in the same capture.
    pub(super) run: u32,
    pub(super) flows: Vec<Flow>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self::new()
    }
}

impl Traffic {
    pub fn new() -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(1);
        Self { run: RUNS.fetch_add(1, Ordering::Relaxed), flows: Vec::new() }
    }

    /// Adds a flow.
    #[must_use]
    pub fn send(mut self, vlan: Option<u16>, class: Class, count: u32) -> Self {
        self.flows.push(Flow { vlan, class, count });
        self
    }

    /// Adds flows of broadcast, unknown unicast, and unicast to each of `stations`, on each VLAN.
    ///
    /// The 82576 delivers a unicast to the MAC address of a VF only to that VF. If that VF is on
    /// another VLAN, no VF receives the frame.
    #[must_use]
    pub fn send_all(mut self, vlans: &[Option<u16>], stations: &[Mac], count: u32) -> Self {
        for &vlan in vlans {
            self =
                self.send(vlan, Class::Broadcast, count).send(vlan, Class::UnknownUnicast, count);
            for &station in stations {
                self = self.send(vlan, Class::Unicast(station), count);
            }
        }
        self
    }

    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// The VLANs of the flows, each once, in order of appearance.
    pub(super) fn vlans(&self) -> Vec<Option<u16>> {
        let mut vlans = Vec::new();
        for flow in &self.flows {
            if !vlans.contains(&flow.vlan) {
                vlans.push(flow.vlan);
            }
        }
        vlans
    }
}
