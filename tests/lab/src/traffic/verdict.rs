//! Compares a capture with the sent traffic.

use std::collections::BTreeMap;
use std::fmt;

use etherparse::SlicedPacket;
use pcap_file::pcap::PcapReader;

use super::flow::{Class, Flow, Traffic};
use super::frame::{Mark, mark};
use crate::error::{Error, Result};

/// The frames of one [`Traffic`] in a capture. The lists name flow and number of each frame, for
/// error messages.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Captured frames by the VLAN they were sent on and by class. Duplicates count once.
    pub seen: BTreeMap<(Option<u16>, Class), u32>,
    pub missing: Vec<String>,
    pub duplicate: Vec<String>,
    /// Frames and end marks of flows that the capture must not contain: isolation failed.
    pub foreign: Vec<String>,
    /// Frames that still have their VLAN tag.
    pub tagged: Vec<String>,
    /// Frames of earlier traffic, or not of the lab's traffic, such as neighbour discovery.
    pub others: u32,
}

impl Verdict {
    /// Whether each expected frame was captured once and untagged, and no foreign frame was.
    pub fn is_exact(&self) -> bool {
        [&self.missing, &self.duplicate, &self.foreign, &self.tagged]
            .iter()
            .all(|list| list.is_empty())
    }

    /// The number of captured frames of one VLAN, of all classes.
    pub fn on_vlan(&self, vlan: Option<u16>) -> u32 {
        self.seen.iter().filter(|((seen, _), _)| *seen == vlan).map(|(_, count)| count).sum()
    }

    /// Returns an error with the differences unless the delivery is exact.
    pub fn require_exact(&self, receiver: &str) -> Result<()> {
        if self.is_exact() { Ok(()) } else { Err(Error::Traffic(format!("{receiver}: {self}"))) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seen {}, others {}", self.seen.values().sum::<u32>(), self.others)?;
        for (what, list) in [
            ("missing", &self.missing),
            ("duplicate", &self.duplicate),
            ("foreign", &self.foreign),
            ("still tagged", &self.tagged),
        ] {
            if !list.is_empty() {
                write!(f, "\n  {what}: {}", list.len())?;
                for name in list.iter().take(10) {
                    write!(f, "\n    {name}")?;
                }
            }
        }
        Ok(())
    }
}

impl Traffic {
    /// Compares a pcap file with this traffic. `expected` decides for each flow whether the file
    /// must contain all of its frames or none.
    pub fn judge(&self, capture: &[u8], expected: impl Fn(&Flow) -> bool) -> Result<Verdict> {
        let mut verdict = Verdict::default();
        let mut seen: BTreeMap<(usize, u32), u32> = BTreeMap::new();
        let ends: Vec<Option<u16>> =
            self.flows().iter().filter(|flow| expected(flow)).map(|flow| flow.vlan).collect();

        let unreadable =
            |error: pcap_file::PcapError| Error::Traffic(format!("unreadable capture: {error}"));
        let mut reader = PcapReader::new(capture).map_err(unreadable)?;
        while let Some(packet) = reader.next_packet() {
            let bytes = packet.map_err(unreadable)?.data;
            let tag = SlicedPacket::from_ethernet(&bytes)
                .ok()
                .and_then(|packet| packet.vlan_ids().first().copied());
            let name = match mark(&bytes) {
                Some(Mark::Frame { run, flow, number })
                    if run == self.run && flow < self.flows().len() =>
                {
                    *seen.entry((flow, number)).or_default() += 1;
                    format!("{} number {number}", self.flows()[flow])
                }
                Some(Mark::End { run }) if run == self.run => {
                    let own = ends.iter().any(|&vlan| contains(&bytes, &self.end_mark(vlan)));
                    if !own {
                        verdict.foreign.push("the end mark of another VLAN".to_owned());
                    }
                    "end mark".to_owned()
                }
                _ => {
                    verdict.others += 1;
                    continue;
                }
            };
            if let Some(tag) = tag {
                verdict.tagged.push(format!("{name}, tag {}", tag.value()));
            }
        }
        for (index, flow) in self.flows().iter().enumerate() {
            verdict.add(flow, expected(flow), |number| {
                seen.get(&(index, number)).copied().unwrap_or(0)
            });
        }
        Ok(verdict)
    }
}

impl Verdict {
    /// Adds the frames of a flow; `times` is how often the frame with a number was captured.
    fn add(&mut self, flow: &Flow, expected: bool, times: impl Fn(u32) -> u32) {
        for number in 0..flow.count {
            let name = || format!("{flow} number {number}");
            match (times(number), expected) {
                (0, true) => self.missing.push(name()),
                (0, false) => continue,
                (_, false) => self.foreign.push(name()),
                (1, true) => {}
                (_, true) => self.duplicate.push(name()),
            }
            if times(number) > 0 {
                *self.seen.entry((flow.vlan, flow.class.clone())).or_default() += 1;
            }
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pcap_file::pcap::{PcapPacket, PcapWriter};

    use super::*;

    /// A pcap file with each sent frame `copies(index, vlan)` times, without its tag if `strip`.
    fn delivered(
        traffic: &Traffic,
        copies: impl Fn(usize, Option<u16>) -> usize,
        strip: bool,
    ) -> Vec<u8> {
        let sent = traffic.pcap().unwrap();
        let mut reader = PcapReader::new(sent.as_slice()).unwrap();
        let mut writer = PcapWriter::new(Vec::new()).unwrap();
        let mut index = 0;
        while let Some(packet) = reader.next_packet() {
            let mut bytes = packet.unwrap().data.into_owned();
            let vlan =
                (bytes[12..14] == [0x81, 0]).then(|| u16::from_be_bytes([bytes[14], bytes[15]]));
            if strip && vlan.is_some() {
                bytes.drain(12..16);
            }
            for _ in 0..copies(index, vlan) {
                writer
                    .write_packet(&PcapPacket::new(Duration::ZERO, bytes.len() as u32, &bytes))
                    .unwrap();
            }
            index += 1;
        }
        writer.into_writer()
    }

    fn traffic() -> Traffic {
        Traffic::new().send_all(&[Some(100), Some(200), None], &[[2, 0, 0, 0, 0, 1]], 3)
    }

    fn on_100(flow: &Flow) -> bool {
        flow.vlan == Some(100)
    }

    #[test]
    fn one_untagged_copy_of_each_expected_frame_is_exact() {
        let traffic = traffic();
        let capture = delivered(&traffic, |_, vlan| usize::from(vlan == Some(100)), true);
        let verdict = traffic.judge(&capture, on_100).unwrap();
        assert!(verdict.is_exact(), "{verdict}");
        assert_eq!((verdict.on_vlan(Some(100)), verdict.on_vlan(None)), (9, 0));
    }

    #[test]
    fn a_missing_and_a_duplicate_frame_are_named() {
        let traffic = traffic();
        let copies =
            |index, vlan| if vlan == Some(100) { [0, 2, 1][std::cmp::min(index, 2)] } else { 0 };
        let verdict = traffic.judge(&delivered(&traffic, copies, true), on_100).unwrap();
        assert_eq!(verdict.missing, ["vlan 100 broadcast number 0"]);
        assert_eq!(verdict.duplicate, ["vlan 100 unknown-unicast number 0"]);
        assert!(verdict.require_exact("mon0").is_err());
    }

    #[test]
    fn frames_of_other_vlans_are_foreign_and_remaining_tags_are_found() {
        let traffic = traffic();
        let all = traffic.judge(&delivered(&traffic, |_, _| 1, true), on_100).unwrap();
        // VLAN 200 and untagged: three frames of three classes each, and two end marks.
        assert_eq!(all.foreign.len(), 2 * 3 * 3 + 2);
        let copies = |_, vlan| usize::from(vlan == Some(100));
        let tagged = traffic.judge(&delivered(&traffic, copies, false), on_100).unwrap();
        assert_eq!(tagged.tagged.len(), 9 + 1);
        assert!(tagged.missing.is_empty());
    }

    #[test]
    fn frames_of_earlier_traffic_count_as_others() {
        let (earlier, traffic) = (traffic(), traffic());
        let verdict = traffic.judge(&delivered(&earlier, |_, _| 1, true), on_100).unwrap();
        assert_eq!((verdict.others, verdict.missing.len(), verdict.foreign.len()), (27 + 3, 9, 0));
    }
}
