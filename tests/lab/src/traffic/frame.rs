//! Frames as bytes, with the mark that identifies each of them.

use std::time::Duration;

use etherparse::{PacketBuilder, VlanId};
use pcap_file::pcap::{PcapPacket, PcapWriter};

use super::flow::{Class, Flow, Mac, Traffic};
use crate::error::{Error, Result};

// Locally administered addresses, which no NIC of the lab has.
const SENDER: Mac = [0x02, 0, 0, 0, 0xfe, 0x01];
const UNKNOWN_STATION: Mac = [0x02, 0, 0, 0, 0xfe, 0x02];
const BROADCAST: Mac = [0xff; 6];
/// The UDP ports: the source port of the end marks and of the first flow, and the destination port.
const END_PORT: u16 = 40000;
const FIRST_PORT: u16 = 41000;
const TO_PORT: u16 = 40001;

/// The mark of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Frame { run: u32, flow: usize, number: u32 },
    End { run: u32 },
}

impl Traffic {
    /// All frames as a pcap file: the flows interleaved, then the end marks.
    pub fn pcap(&self) -> Result<Vec<u8>> {
        let failed = |error: pcap_file::PcapError| Error::Traffic(error.to_string());
        let mut writer = PcapWriter::new(Vec::new()).map_err(failed)?;
        for frame in self.frames()? {
            let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            writer
                .write_packet(&PcapPacket::new(Duration::ZERO, length, &frame))
                .map_err(failed)?;
        }
        Ok(writer.into_writer())
    }

    fn frames(&self) -> Result<Vec<Vec<u8>>> {
        let longest = self.flows.iter().map(|flow| flow.count).max().unwrap_or(0);
        let mut frames = Vec::new();
        for number in 0..longest {
            for (index, flow) in
                self.flows.iter().enumerate().filter(|(_, flow)| number < flow.count)
            {
                let mark =
                    format!("runvf-lab run={} flow={index} number={number} {flow};", self.run);
                // Each flow has a port of its own, so that a flow sensor tells them apart.
                frames.push(frame(flow, FIRST_PORT.wrapping_add(index as u16), &mark)?);
            }
        }
        for vlan in self.vlans() {
            let flow = Flow { vlan, class: Class::Broadcast, count: 1 };
            frames.push(frame(&flow, END_PORT, &self.end_mark(vlan))?);
        }
        Ok(frames)
    }

    /// The text of the end mark of `vlan`, which `grep` finds in a capture file.
    pub fn end_mark(&self, vlan: Option<u16>) -> String {
        let vlan = vlan.map_or_else(|| "none".to_owned(), |vlan| vlan.to_string());
        format!("runvf-lab run={} end vlan={vlan};", self.run)
    }
}

fn frame(flow: &Flow, from_port: u16, mark: &str) -> Result<Vec<u8>> {
    let receiver = match &flow.class {
        Class::Broadcast | Class::Pattern(_) => BROADCAST,
        Class::Unicast(mac) => *mac,
        Class::UnknownUnicast => UNKNOWN_STATION,
    };
    let text = match &flow.class {
        Class::Pattern(text) => format!("{mark} {text}"),
        _ => mark.to_owned(),
    };
    let failed = |what: String| Error::Traffic(format!("{flow}: {what}"));
    let ethernet = PacketBuilder::ethernet2(SENDER, receiver);
    // 198.18.0.0/15 is reserved for benchmarks of network devices (RFC 2544).
    let (from, to, hops) = ([198, 18, 0, 1], [198, 18, 0, 2], 64);
    let ip = match flow.vlan {
        Some(vlan) => {
            let vlan = VlanId::try_new(vlan).map_err(|error| failed(error.to_string()))?;
            ethernet.single_vlan(vlan).ipv4(from, to, hops)
        }
        None => ethernet.ipv4(from, to, hops),
    };
    let mut bytes = Vec::new();
    ip.udp(from_port, TO_PORT)
        .write(&mut bytes, text.as_bytes())
        .map_err(|error| failed(error.to_string()))?;
    Ok(bytes)
}

/// The mark of a captured frame, or `None` if no traffic of the lab sent it.
pub(super) fn mark(bytes: &[u8]) -> Option<Mark> {
    let start = bytes.windows(10).position(|window| window == b"runvf-lab ")?;
    let text = bytes[start..].split(|&byte| byte == b';').next()?;
    let mut words = std::str::from_utf8(text).ok()?.split(' ').skip(1);
    let run = value(words.next()?, "run=")?;
    match words.next()? {
        "end" => Some(Mark::End { run }),
        flow => {
            let flow = usize::try_from(value(flow, "flow=")?).ok()?;
            Some(Mark::Frame { run, flow, number: value(words.next()?, "number=")? })
        }
    }
}

fn value(word: &str, name: &str) -> Option<u32> {
    word.strip_prefix(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_carries_its_run_flow_and_number() {
        let traffic = Traffic::new().send(Some(100), Class::UnknownUnicast, 2);
        let frames = traffic.frames().unwrap();
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[1][..6], UNKNOWN_STATION);
        assert_eq!(frames[1][12..16], [0x81, 0, 0, 100]);
        assert_eq!(mark(&frames[1]), Some(Mark::Frame { run: traffic.run, flow: 0, number: 1 }));
        assert_eq!(mark(&frames[2]), Some(Mark::End { run: traffic.run }));
        assert_eq!(mark(b"some other frame"), None);
    }

    #[test]
    fn the_pattern_ends_the_payload_and_untagged_frames_have_no_tag() {
        let traffic = Traffic::new().send(None, Class::Pattern("runvf-evil".into()), 1);
        let frame = &traffic.frames().unwrap()[0];
        assert_eq!(frame[12..14], [0x08, 0x00]);
        assert!(frame.ends_with(b"; runvf-evil"));
    }

    #[test]
    fn a_vlan_above_4095_is_refused() {
        let error = Traffic::new().send(Some(4096), Class::Broadcast, 1).pcap().unwrap_err();
        assert!(error.to_string().contains("vlan 4096 broadcast"), "{error}");
    }
}
