//! What is sent: flows of frames, each of one class on one VLAN.

use std::fmt;
use std::time::Duration;

use crate::error::Result;
use crate::guest::lab::Lab;

pub type Mac = [u8; 6];

/// Well below what an emulated igb receives without loss, see `e2e/lab_selftest.rs`.
const FRAMES_PER_SECOND: u32 = 500;

/// What kind of frame, which is to say: to whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Broadcast,
    /// To a station that is there, such as a VF's own address.
    Unicast(Mac),
    /// To a station nobody has: what only a promiscuous port gets.
    UnknownUnicast,
    /// A broadcast with this text in it, for a sensor's rule to find.
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

/// `count` frames of one class on one VLAN; `None` is untagged.
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

#[derive(Clone, Debug)]
pub struct Traffic {
    /// Tells this traffic from an earlier one that a capture may still hold.
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
        use std::sync::atomic::{AtomicU32, Ordering};
        static RUNS: AtomicU32 = AtomicU32::new(1);
        Self { run: RUNS.fetch_add(1, Ordering::Relaxed), flows: Vec::new() }
    }

    #[must_use]
    pub fn send(mut self, vlan: Option<u16>, class: Class, count: u32) -> Self {
        self.flows.push(Flow { vlan, class, count });
        self
    }

    /// Every class on every VLAN, with each of `stations` as a unicast receiver. The lab's NIC takes
    /// a unicast to a VF's own address to that VF alone: on any other VLAN nobody gets it.
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

    /// Sends it all on `mirror`, one of the guest's `mirrorN`; returns when the last frame has been
    /// sent.
    pub fn play(&self, lab: &Lab, mirror: &str) -> Result<()> {
        let path = format!("/run/traffic-{}.pcap", self.run);
        lab.write(&path, self.pcap()?)?;
        let sent: u32 = self.flows.iter().map(|flow| flow.count).sum();
        let limit = Duration::from_secs(60 + u64::from(sent / FRAMES_PER_SECOND) * 2);
        lab.ok_within(
            limit,
            &format!("tcpreplay --quiet --pps {FRAMES_PER_SECOND} -i {mirror} {path}; rm {path}"),
        )
        .map(drop)
    }

    /// The VLANs used, each once, in order of appearance.
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

/// Parses `02:00:00:00:00:01`, as `ip` prints it.
pub fn mac(text: &str) -> Option<Mac> {
    let mut bytes = text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16));
    let mut mac = [0; 6];
    for byte in &mut mac {
        *byte = bytes.next()?.ok()?;
    }
    bytes.next().is_none().then_some(mac)
}
