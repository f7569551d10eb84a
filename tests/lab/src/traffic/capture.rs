//! Captures with tcpdump in the guest.

use std::time::Duration;

use super::flow::Traffic;
use crate::error::Result;
use crate::guest::lab::Lab;
use crate::guest::ssh::quote;

const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running capture on an interface of the guest.
///
/// Sensor containers write captures of their own; wait for those with [`Traffic::wait_for_end`].
#[derive(Debug)]
pub struct Capture<'lab> {
    lab: &'lab Lab,
    path: String,
    process: String,
}

impl<'lab> Capture<'lab> {
    /// Starts tcpdump on `interface`, in the named network namespace if one is given. Returns when
    /// tcpdump is listening.
    pub fn start(lab: &'lab Lab, interface: &str, netns: Option<&str>) -> Result<Self> {
        // Debian's AppArmor profile allows tcpdump to write only files named *.pcap.
        let path = lab.ok("mktemp -u /run/capture-XXXXXX.pcap")?.text().to_owned();
        let prefix =
            netns.map(|name| format!("ip netns exec {} ", quote(name))).unwrap_or_default();
        let process = lab.ok(&format!(
            "{prefix}tcpdump -nn -U --immediate-mode -Z root -i {} -w {path} \
             < /dev/null > {path}.log 2>&1 & echo $!",
            quote(interface)
        ))?;
        let capture = Self { lab, path, process: process.text().to_owned() };
        let listening =
            format!("grep -q 'listening on' {}.log || ! kill -0 {}", capture.path, capture.process);
        lab.wait_until(START_TIMEOUT, &listening)?;
        lab.ok(&format!("kill -0 {} || {{ cat {}.log; exit 1; }}", capture.process, capture.path))?;
        Ok(capture)
    }

    /// Waits for the end mark of `vlan`, stops tcpdump, and returns the pcap file.
    pub fn finish(self, traffic: &Traffic, vlan: Option<u16>) -> Result<Vec<u8>> {
        traffic.wait_for_end(self.lab, &self.path, vlan)?;
        self.stop()
    }

    /// Stops tcpdump at once, and returns the pcap file.
    pub fn stop(self) -> Result<Vec<u8>> {
        self.lab.ok(&format!("kill -INT {}", self.process))?;
        self.lab.wait_until(STOP_TIMEOUT, &format!("! kill -0 {} 2> /dev/null", self.process))?;
        let bytes = self.lab.pull(&self.path)?;
        self.lab.ok(&format!("rm {0} {0}.log", self.path))?;
        Ok(bytes)
    }
}
