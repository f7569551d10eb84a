//! tcpdump in the guest, from the moment it listens to the moment all has arrived.

use std::time::Duration;

use super::flow::Traffic;
use crate::error::Result;
use crate::guest::lab::{Lab, quote};

/// From the last frame sent to its arrival in a capture file; an emulated NIC on a busy host takes
/// its time.
const ARRIVAL: Duration = Duration::from_secs(30);
const LISTENING: Duration = Duration::from_secs(30);

/// A capture on one of the guest's interfaces. A sensor container makes its own; see
/// [`Traffic::wait_for_end`].
#[derive(Debug)]
pub struct Capture<'lab> {
    lab: &'lab Lab,
    path: String,
    process: String,
}

impl<'lab> Capture<'lab> {
    /// Captures on `interface`, inside the named network namespace if one is given. Returns when it
    /// listens.
    pub fn start(lab: &'lab Lab, interface: &str, netns: Option<&str>) -> Result<Self> {
        // Debian's AppArmor profile lets tcpdump write nothing that is not called .pcap.
        let path = lab.ok("mktemp -u /run/capture-XXXXXX.pcap")?.text().to_owned();
        let inside =
            netns.map(|name| format!("ip netns exec {} ", quote(name))).unwrap_or_default();
        let process = lab.ok(&format!(
            "{inside}tcpdump -nn -U --immediate-mode -Z root -i {} -w {path} \
             < /dev/null > {path}.log 2>&1 & echo $!",
            quote(interface)
        ))?;
        let capture = Self { lab, path, process: process.text().to_owned() };
        let listening =
            format!("grep -q 'listening on' {}.log || ! kill -0 {}", capture.path, capture.process);
        lab.wait_until(LISTENING, &listening)?;
        lab.ok(&format!("kill -0 {} || {{ cat {}.log; exit 1; }}", capture.process, capture.path))?;
        Ok(capture)
    }

    /// Waits for the end mark of `vlan`, stops, and returns the pcap file.
    pub fn finish(self, traffic: &Traffic, vlan: Option<u16>) -> Result<Vec<u8>> {
        traffic.wait_for_end(self.lab, &self.path, vlan)?;
        self.stop()
    }

    /// Stops now and returns the pcap file.
    pub fn stop(self) -> Result<Vec<u8>> {
        self.lab.ok(&format!("kill -INT {}", self.process))?;
        self.lab.wait_until(ARRIVAL, &format!("! kill -0 {} 2> /dev/null", self.process))?;
        let bytes = self.lab.pull(&self.path)?;
        self.lab.ok(&format!("rm {0} {0}.log", self.path))?;
        Ok(bytes)
    }
}

impl Traffic {
    /// Waits until the capture file at `path` in the guest holds the end mark of `vlan`.
    pub fn wait_for_end(&self, lab: &Lab, path: &str, vlan: Option<u16>) -> Result<()> {
        let mark = quote(&self.end_mark(vlan));
        lab.wait_until(ARRIVAL, &format!("grep -aqF {mark} {}", quote(path))).map(drop)
    }
}
