//! A VF that is set up by hand and without trust, beside the sensors: its interface is promiscuous,
//! but its PF gives it no frames for unknown addresses.

use lab::traffic::{Capture, Class, Mac, Traffic, mac};
use lab::{Error, Lab, Result};

use crate::sensor::Findings;

/// The last VF of pf0, and the VLAN of the first tenant.
const INDEX: u32 = 31;
pub(crate) const VLAN: u16 = 100;
const NETNS: &str = "by-hand";
const SCRIPT: &str = "/tmp/by-hand.sh";

pub(crate) struct ByHand<'lab> {
    lab: &'lab Lab,
    capture: Capture<'lab>,
    pub(crate) station: Mac,
}

impl<'lab> ByHand<'lab> {
    /// Sets the VF up and starts tcpdump on it.
    pub(crate) fn start(lab: &'lab Lab) -> Result<Self> {
        lab.write(SCRIPT, include_str!("by-hand.sh"))?;
        let address = lab.ok(&format!("bash {SCRIPT} up {INDEX} {VLAN}"))?;
        let no_address = || Error::Traffic("the VF set up by hand has no MAC address".to_owned());
        let station = mac(address.text()).ok_or_else(no_address)?;
        Ok(Self { lab, capture: Capture::start(lab, "mon0", Some(NETNS))?, station })
    }

    /// Takes the VF back, and returns what it saw. That is exact if it saw its own unicast and all
    /// broadcasts of its VLAN, and no other frame.
    pub(crate) fn finish(self, traffic: &Traffic) -> Result<Findings> {
        let capture = self.capture.finish(traffic, Some(VLAN))?;
        self.lab.ok(&format!("bash {SCRIPT} down {INDEX}"))?;
        let is_own = |class: &Class| match class {
            Class::Unicast(station) => *station == self.station,
            Class::UnknownUnicast => false,
            Class::Broadcast | Class::Pattern(_) => true,
        };
        let verdict =
            traffic.judge(&capture, |flow| flow.vlan == Some(VLAN) && is_own(&flow.class))?;
        Ok(Findings { verdict, alerts: None })
    }
}
