//! Sends traffic from a mirror port, and waits for its arrival.

use std::time::Duration;

use super::flow::Traffic;
use crate::error::Result;
use crate::guest::lab::Lab;
use crate::guest::ssh::quote;

/// Well below the rate at which an emulated igb drops frames; see the self-test of the lab in e2e.
const FRAMES_PER_SECOND: u32 = 500;

/// From the last sent frame to its arrival in a capture file. An emulated NIC on a busy host is
/// slow.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(30);

impl Traffic {
    /// Sends all frames on the mirror port `mirror`, and returns after the last one.
    pub fn play(&self, lab: &Lab, mirror: &str) -> Result<()> {
        let path = format!("/run/traffic-{}.pcap", self.run);
        lab.write(&path, self.pcap()?)?;
        let sent: u32 = self.flows.iter().map(|flow| flow.count).sum();
        let timeout = Duration::from_secs(60 + u64::from(sent / FRAMES_PER_SECOND) * 2);
        lab.ok_within(
            timeout,
            &format!("tcpreplay --quiet --pps {FRAMES_PER_SECOND} -i {mirror} {path}; rm {path}"),
        )
        .map(drop)
    }

    /// Waits until the capture file `path` in the guest contains the end mark of `vlan`.
    pub fn wait_for_end(&self, lab: &Lab, path: &str, vlan: Option<u16>) -> Result<()> {
        let mark = quote(&self.end_mark(vlan));
        lab.wait_until(ARRIVAL_TIMEOUT, &format!("grep -aqF {mark} {}", quote(path))).map(drop)
    }
}
