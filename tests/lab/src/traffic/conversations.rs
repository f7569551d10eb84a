//! Conversations of a tenant as an IDS reads them: HTTP, DNS, TLS, fragments, and a tag inside the
//! tenant's own. They are the same for each tenant but for the tenant's name and addresses, so that
//! an event of another tenant is found.

use std::time::Duration;

use etherparse::PacketBuilder;
use pcap_file::pcap::{PcapPacket, PcapWriter};

use super::flow::Mac;
use crate::error::{Error, Result};

const CLIENT: Mac = [0x02, 0, 0, 0, 0xfe, 0x11];
const SERVER: Mac = [0x02, 0, 0, 0, 0xfe, 0x12];
/// Between two frames of a file.
const INTERVAL: Duration = Duration::from_millis(2);
/// The length of an Ethernet header without a tag, and of an IPv4 header, in bytes.
const ETHERNET: usize = 14;
const IPV4: usize = 20;
/// The payload of a fragment, in bytes; a multiple of 8.
const FRAGMENT: usize = 1400;
/// The VLAN inside the tenant's own.
const INNER_VLAN: u16 = 42;

/// The conversations of one tenant, without the tenant's tag.
#[derive(Debug)]
pub struct Conversations {
    name: String,
    /// The third byte of the tenant's addresses.
    network: u8,
    frames: Vec<Vec<u8>>,
}

impl Conversations {
    /// All conversations. `network` differs between tenants.
    ///
    /// # Errors
    /// When a frame cannot be built.
    pub fn of(name: &str, network: u8) -> Result<Self> {
        let mut all = Self { name: name.to_owned(), network, frames: Vec::new() };
        all.http(40_001)?;
        all.dns(40_002)?;
        all.tls(40_003)?;
        all.fragments(40_004)?;
        all.inner_tag(40_005)?;
        Ok(all)
    }

    /// Adds a UDP datagram of `length` bytes, which a jumbo frame carries.
    ///
    /// # Errors
    /// When the frame cannot be built.
    pub fn with_jumbo_frame(mut self, length: usize) -> Result<Self> {
        let mut payload = format!("runvf-jumbo of {} ", self.name).into_bytes();
        payload.resize(length, b'x');
        let frame = self.udp(40_006, 9000, &payload)?;
        self.frames.push(frame);
        Ok(self)
    }

    /// Adds the last frame, which a rule of the sensor finds.
    ///
    /// # Errors
    /// When the frame cannot be built.
    pub fn with_end(mut self) -> Result<Self> {
        let frame = self.udp(40_009, 9001, b"runvf-end")?;
        self.frames.push(frame);
        Ok(self)
    }

    /// The frames as a sensor sees them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn pcap(&self) -> Result<Vec<u8>> {
        write(self.frames.iter().cloned())
    }

    fn http(&mut self, port: u16) -> Result<()> {
        let request = format!(
            "GET /{0}/index.html HTTP/1.1\r\nHost: {0}.example\r\nUser-Agent: runvf-evil\r\n\r\n",
            self.name
        );
        let answer =
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello";
        self.tcp(port, 80, request.as_bytes(), answer)
    }

    fn dns(&mut self, port: u16) -> Result<()> {
        let mut question = Vec::new();
        for label in ["www", &self.name, "example"] {
            question.push(label.len() as u8);
            question.extend(label.as_bytes());
        }
        // The root; type A; class IN.
        question.extend([0, 0, 1, 0, 1]);
        let query = [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
        let mut answer =
            [&[0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0][..], &question].concat();
        // The name of the question; type A; class IN; 60 s; four bytes of address.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, self.network]);
        let frame = self.udp(port, 53, &query)?;
        self.frames.push(frame);
        let frame = self.built(false, |builder| {
            let mut bytes = Vec::new();
            builder.udp(53, port).write(&mut bytes, &answer).map(|()| bytes)
        })?;
        self.frames.push(frame);
        Ok(())
    }

    /// A ClientHello with the tenant's server name, and an answer that ends the conversation.
    fn tls(&mut self, port: u16) -> Result<()> {
        let name = format!("{}.example", self.name).into_bytes();
        let length = |bytes: &[u8]| (bytes.len() as u16).to_be_bytes();
        let entry = [&[0][..], &length(&name), &name].concat();
        let list = [&length(&entry)[..], &entry].concat();
        // The extension `server_name` (RFC 6066).
        let extension = [&[0, 0][..], &length(&list), &list].concat();
        let mut hello = vec![3, 3];
        hello.extend([7; 32]);
        // No session; one cipher suite; no compression.
        hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
        hello.extend([&length(&extension)[..], &extension].concat());
        let handshake = [&[1, 0][..], &length(&hello), &hello].concat();
        let record = [&[22, 3, 1][..], &length(&handshake), &handshake].concat();
        // A fatal alert: handshake failure.
        self.tcp(port, 443, &record, &[21, 3, 3, 0, 2, 2, 40])
    }

    /// A datagram in three fragments; the text is in the last one.
    fn fragments(&mut self, port: u16) -> Result<()> {
        let mut payload = vec![b'x'; 3000];
        payload.extend(b"runvf-evil in the last fragment");
        let whole = self.udp(port, 9000, &payload)?;
        let (head, body) = whole.split_at(ETHERNET + IPV4);
        let count = body.chunks(FRAGMENT).count();
        for (index, part) in body.chunks(FRAGMENT).enumerate() {
            let mut frame = head.to_vec();
            let more = if index + 1 < count { 1 << 13 } else { 0 };
            let offset = (index * FRAGMENT / 8) as u16 | more;
            let ip = &mut frame[ETHERNET..];
            ip[2..4].copy_from_slice(&((IPV4 + part.len()) as u16).to_be_bytes());
            ip[4..6].copy_from_slice(&port.to_be_bytes());
            ip[6..8].copy_from_slice(&offset.to_be_bytes());
            ip[10..12].fill(0);
            let checksum = checksum(ip);
            ip[10..12].copy_from_slice(&checksum.to_be_bytes());
            frame.extend(part);
            self.frames.push(frame);
        }
        Ok(())
    }

    fn inner_tag(&mut self, port: u16) -> Result<()> {
        let frame = self.udp(port, 9000, b"runvf-evil inside another VLAN")?;
        self.frames.push(tagged(&frame, INNER_VLAN));
        Ok(())
    }

    /// A connection with one request and one answer.
    fn tcp(&mut self, port: u16, service: u16, request: &[u8], answer: &[u8]) -> Result<()> {
        let (asked, told) = (1001 + request.len() as u32, 2001 + answer.len() as u32);
        // From the client or not, sequence number, acknowledgement, payload, flags.
        let steps: [(bool, u32, u32, &[u8], &str); 9] = [
            (true, 1000, 0, b"", "syn"),
            (false, 2000, 1001, b"", "syn"),
            (true, 1001, 2001, b"", ""),
            (true, 1001, 2001, request, ""),
            (false, 2001, asked, answer, ""),
            (true, asked, told, b"", ""),
            (true, asked, told, b"", "fin"),
            (false, told, asked + 1, b"", "fin"),
            (true, asked + 1, told + 1, b"", ""),
        ];
        for (from_client, sequence, acknowledged, payload, flag) in steps {
            let (source, destination) = if from_client { (port, service) } else { (service, port) };
            let frame = self.built(from_client, |builder| {
                let mut step = builder.tcp(source, destination, sequence, 64_000);
                if acknowledged > 0 {
                    step = step.ack(acknowledged);
                }
                step = match flag {
                    "syn" => step.syn(),
                    "fin" => step.fin(),
                    _ if payload.is_empty() => step,
                    _ => step.psh(),
                };
                let mut bytes = Vec::new();
                step.write(&mut bytes, payload).map(|()| bytes)
            })?;
            self.frames.push(frame);
        }
        Ok(())
    }

    fn udp(&self, port: u16, service: u16, payload: &[u8]) -> Result<Vec<u8>> {
        self.built(true, |builder| {
            let mut bytes = Vec::new();
            builder.udp(port, service).write(&mut bytes, payload).map(|()| bytes)
        })
    }

    fn built<E: std::fmt::Display>(
        &self,
        from_client: bool,
        build: impl FnOnce(
            etherparse::PacketBuilderStep<etherparse::IpHeaders>,
        ) -> std::result::Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>> {
        let (client, server) = ([198, 18, self.network, 1], [198, 18, self.network, 2]);
        let builder = match from_client {
            true => PacketBuilder::ethernet2(CLIENT, SERVER).ipv4(client, server, 64),
            false => PacketBuilder::ethernet2(SERVER, CLIENT).ipv4(server, client, 64),
        };
        build(builder).map_err(|error| Error::Traffic(format!("{}: {error}", self.name)))
    }
}

/// The frames of all tenants with their tags, interleaved, as a mirror port delivers them.
///
/// # Errors
/// When the file cannot be written.
pub fn mirrored(tenants: &[(u16, &Conversations)]) -> Result<Vec<u8>> {
    let longest = tenants.iter().map(|(_, all)| all.frames.len()).max().unwrap_or(0);
    let frames = (0..longest).flat_map(|number| {
        tenants.iter().filter_map(move |(vlan, all)| Some(tagged(all.frames.get(number)?, *vlan)))
    });
    write(frames)
}

/// The frame with a tag of 802.1Q outside all others.
fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &[0x81, 0x00], &vlan.to_be_bytes(), rest].concat()
}

/// The checksum of an IPv4 header (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}

fn write(frames: impl Iterator<Item = Vec<u8>>) -> Result<Vec<u8>> {
    let failed = |error: pcap_file::PcapError| Error::Traffic(error.to_string());
    let mut writer = PcapWriter::new(Vec::new()).map_err(failed)?;
    // The time of the first frame is not 0, because Suricata takes that as no time.
    let mut time = Duration::from_secs(1_700_000_000);
    for frame in frames {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        writer.write_packet(&PcapPacket::new(time, length, &frame)).map_err(failed)?;
        time += INTERVAL;
    }
    Ok(writer.into_writer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_tagged_once_outside_and_fragments_have_valid_headers() {
        let acme = Conversations::of("acme", 1).unwrap().with_end().unwrap();
        // Nine of a connection, twice; a query and its answer; three fragments; one inside; the end.
        assert_eq!(acme.frames.len(), 2 * 9 + 2 + 3 + 1 + 1);
        for frame in &acme.frames {
            let outside = tagged(frame, 100);
            assert_eq!(outside[12..16], [0x81, 0, 0, 100]);
            assert_eq!(outside[16..], frame[12..]);
            if frame[12..14] == [0x08, 0x00] {
                assert_eq!(checksum(&frame[ETHERNET..ETHERNET + IPV4]), 0, "{frame:?}");
            }
        }
        let inner = acme.frames.iter().filter(|frame| frame[12..14] == [0x81, 0x00]).count();
        assert_eq!(inner, 1);
    }
}
