//! A D-Bus connection to systemd, for calls of methods (D-Bus specification, "Message Protocol").
//! libcgroups has such a connection, but does not export it.

mod wire;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub(super) use self::wire::{Writer, read_string};
use self::wire::{length, read_number};

/// systemd's own socket. It needs no D-Bus daemon, and only root can connect.
const SYSTEMD_SOCKET: &str = "/run/systemd/private";

/// The socket of the D-Bus daemon, for a container with the bus of its host.
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// The timeout of sd-bus and of systemctl(1).
const TIMEOUT: Duration = Duration::from_secs(25);

/// No reply to the calls of this program is longer.
const MAX_REPLY: u32 = 1 << 20;

const DAEMON: &str = "org.freedesktop.DBus";

const IS_LITTLE_ENDIAN: bool = cfg!(target_endian = "little");

/// Types of messages.
const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// The object and the method of a call, and the types of its arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method {
    pub(super) destination: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
    pub(super) member: &'static str,
    pub(super) signature: &'static str,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    serial: u32,
}

impl Connection {
    pub(super) fn to_systemd() -> io::Result<Self> {
        match UnixStream::connect(SYSTEMD_SOCKET) {
            Ok(stream) => Self::authenticate(stream),
            Err(_) => {
                let mut bus = Self::authenticate(UnixStream::connect(SYSTEM_BUS)?)?;
                let (path, member) = ("/org/freedesktop/DBus", "Hello");
                let hello =
                    Method { destination: DAEMON, path, interface: DAEMON, member, signature: "" };
                bus.call(hello, &[])?;
                Ok(bus)
            }
        }
    }

    /// Sends the user's id in hexadecimal digits of its decimal text. The kernel tells the other side
    /// the real one.
    ///
    /// `BEGIN` is in the same write: if systemd 252 reads it together with the first call, it does
    /// not see the call before more bytes arrive.
    fn authenticate(mut stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let uid = nix::unistd::geteuid().to_string();
        let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 512 {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        if !line.starts_with(b"OK ") {
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            return Err(io::Error::other(format!("the authentication failed: {line}")));
        }
        Ok(Self { stream, serial: 0 })
    }

    /// Calls a method and returns the body of the reply. `body`: the arguments.
    ///
    /// # Errors
    /// The text of the method's error, or that of the connection.
    pub(super) fn call(&mut self, method: Method, body: &[u8]) -> io::Result<Vec<u8>> {
        self.serial += 1;
        self.stream.write_all(&message(self.serial, method, body))?;
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                METHOD_RETURN => return Ok(body),
                ERROR => {
                    let text = read_string(&body, 0).unwrap_or("an error without a text");
                    return Err(io::Error::other(text.to_owned()));
                }
                // A signal. One call is made at a time, so a reply belongs to this call.
                _ => {}
            }
        }
    }

    /// The type and the body of the next message.
    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut start = [0; 16];
        self.stream.read_exact(&mut start)?;
        let number = |at: usize| read_number(&start, at).unwrap_or(u32::MAX);
        let (body, fields) = (number(4), number(12));
        if body > MAX_REPLY || fields > MAX_REPLY {
            return Err(io::Error::other("the reply is no D-Bus message"));
        }
        let mut rest = vec![0; (fields.next_multiple_of(8) + body) as usize];
        self.stream.read_exact(&mut rest)?;
        Ok((start[1], rest.split_off(fields.next_multiple_of(8) as usize)))
    }
}

/// The bytes of a call: a fixed start, the header fields, and the arguments.
fn message(serial: u32, method: Method, body: &[u8]) -> Vec<u8> {
    let mut fields = Writer::default();
    let texts = [
        (1, "o", method.path),
        (2, "s", method.interface),
        (3, "s", method.member),
        (6, "s", method.destination),
    ];
    for (code, kind, text) in texts {
        fields.align(8).byte(code).signature(kind).string(text);
    }
    if !method.signature.is_empty() {
        fields.align(8).byte(8).signature("g").signature(method.signature);
    }
    let order = if IS_LITTLE_ENDIAN { b'l' } else { b'B' };
    let mut message = Writer::default();
    let (no_flags, version) = (0, 1);
    message.byte(order).byte(METHOD_CALL).byte(no_flags).byte(version);
    message.number(length(body)).number(serial).number(length(&fields.bytes));
    message.bytes.extend(fields.bytes);
    message.align(8);
    message.bytes.extend(body);
    message.bytes
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const METHOD: Method =
        Method { destination: "a.b", path: "/a", interface: "a.b.C", member: "Do", signature: "s" };

    /// A server that reads one call and answers with a signal and then with `kind` and `text`.
    fn call_of_a_server(kind: u8, text: &'static str) -> io::Result<Vec<u8>> {
        let (client, mut server) = UnixStream::pair().unwrap();
        let answer = thread::spawn(move || {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\nBEGIN\r\n") {
                let mut byte = [0];
                server.read_exact(&mut byte).unwrap();
                line.push(byte[0]);
            }
            assert!(line.starts_with(b"\0AUTH EXTERNAL 3"), "{line:?}");
            server.write_all(b"OK 1234\r\n").unwrap();
            let mut call = vec![0; message(1, METHOD, &[]).len()];
            server.read_exact(&mut call).unwrap();
            for kind in [4, kind] {
                let mut body = Writer::default();
                body.string(text);
                let mut reply = message(7, METHOD, &body.bytes);
                reply[1] = kind;
                server.write_all(&reply).unwrap();
            }
        });
        let body = Connection::authenticate(client)?.call(METHOD, &[]);
        answer.join().unwrap();
        body
    }

    #[test]
    fn a_reply_is_the_body_or_the_error() {
        let body = call_of_a_server(METHOD_RETURN, "version").unwrap();
        assert_eq!(read_string(&body, 0), Some("version"));
        let error = call_of_a_server(ERROR, "no such unit").unwrap_err();
        assert_eq!(error.to_string(), "no such unit");
    }

    /// The bytes that `busctl call a.b /a a.b.C Do s x` sends, except for its flags and serial.
    #[test]
    #[cfg(target_endian = "little")]
    fn a_call_has_the_bytes_of_the_specification() {
        let mut body = Writer::default();
        body.string("x");
        let text = String::from_utf8_lossy(&message(1, METHOD, &body.bytes)).into_owned();
        let expected = [
            "l\u{1}\0\u{1}\u{6}\0\0\0\u{1}\0\0\0\u{47}\0\0\0",
            "\u{1}\u{1}o\0\u{2}\0\0\0/a\0\0\0\0\0\0",
            "\u{2}\u{1}s\0\u{5}\0\0\0a.b.C\0\0\0",
            "\u{3}\u{1}s\0\u{2}\0\0\0Do\0\0\0\0\0\0",
            "\u{6}\u{1}s\0\u{3}\0\0\0a.b\0\0\0\0\0",
            "\u{8}\u{1}g\0\u{1}s\0\0",
            "\u{1}\0\0\0x\0",
        ];
        assert_eq!(text, expected.concat());
    }
}
