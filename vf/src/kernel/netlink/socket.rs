//! Sends one netlink request and receives its answers, with a timeout.
//!
//! The socket is synchronous: runvf never has two requests in flight, and starting an event loop
//! would take a hook longer than all its requests. The timeout does not cover send(2): there the
//! kernel waits for its network lock (RTNL). If a driver hangs while it holds RTNL, the request
//! blocks, as does every other change to the host's network.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTIPART, NLM_F_REQUEST, NetlinkDeserializable,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::{NETLINK_ROUTE, NETLINK_SOCK_DIAG};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use crate::fault;
use crate::kernel::error::NetlinkError;

/// How long the kernel may take to answer. iavf and i40e hold RTNL for hundreds of milliseconds
/// while they reset a VF.
const ANSWER_TIMEOUT_SECONDS: u64 = 20;

/// The size of the receive buffer, in bytes. An attribute has at most 64 KiB, and three or four
/// attributes of a link can have that length: its VFs, its alternative names, the attributes of its
/// link type. A container can make them that long. The unused part of the buffer takes no memory,
/// because the kernel allocates a page at its first use.
const RECEIVE_BUFFER: usize = 512 << 10;

/// `RTNLGRP_LINK`, `include/uapi/linux/rtnetlink.h`
pub(super) const LINK_GROUP: u32 = 1;

/// A socket in the network namespace of the thread that opened it.
pub(super) struct Socket {
    kernel: netlink_sys::Socket,
    sequence: Cell<u32>,
    buffer: RefCell<Vec<u8>>,
}

impl Socket {
    pub(super) fn open() -> io::Result<Self> {
        let socket = Self::open_protocol(NETLINK_ROUTE)?;
        // A dump of one interface's addresses then contains no other addresses (Linux 4.20).
        socket.kernel.set_netlink_get_strict_chk(true)?;
        Ok(socket)
    }

    /// A socket that lists the sockets of the network namespace (`sock_diag(7)`).
    pub(super) fn open_sock_diag() -> io::Result<Self> {
        Self::open_protocol(NETLINK_SOCK_DIAG)
    }

    fn open_protocol(protocol: isize) -> io::Result<Self> {
        let kernel = netlink_sys::Socket::new(protocol)?;
        setsockopt(
            &kernel,
            sockopt::ReceiveTimeout,
            &TimeVal::new(ANSWER_TIMEOUT_SECONDS as i64, 0),
        )?;
        Ok(Self {
            kernel,
            sequence: Cell::new(0),
            buffer: RefCell::new(Vec::with_capacity(RECEIVE_BUFFER)),
        })
    }

    /// Sends a request and calls `handle` with each answer.
    ///
    /// # Errors
    /// [`NetlinkError::Interrupted`] when a list changed while the kernel sent it. The answers may
    /// then lack an object that existed all the time, so the caller must discard them:
    /// [`until_complete`].
    pub(super) fn request(
        &self,
        point: &'static str,
        message: RouteNetlinkMessage,
        kind: Request,
        mut handle: impl FnMut(&Answer),
    ) -> Result<(), NetlinkError> {
        if fault::lie(point).map_err(NetlinkError::Refused)? {
            return Ok(());
        }
        let mut answers = self.send(message, kind)?;
        loop {
            if let Some(is_complete) = self.receive_answers(&mut answers, &mut handle)? {
                return if is_complete { Ok(()) } else { Err(NetlinkError::Interrupted(1)) };
            }
        }
    }

    /// Sends a request. The caller receives its answers with [`Socket::receive_answers`].
    pub(super) fn send<M: NetlinkSerializable>(
        &self,
        message: M,
        kind: Request,
    ) -> Result<Answers, NetlinkError> {
        self.sequence.set(self.sequence.get() + 1);
        let payload = NetlinkPayload::InnerMessage(message);
        let mut request = NetlinkMessage::new(NetlinkHeader::default(), payload);
        request.header.flags = NLM_F_REQUEST
            | match kind {
                Request::Get => 0,
                Request::Dump => NLM_F_DUMP,
                Request::Set => NLM_F_ACK,
            };
        request.header.sequence_number = self.sequence.get();
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.kernel.send(&bytes, 0).map_err(transport)?;
        Ok(Answers::to(self.sequence.get()))
    }

    /// Receives one datagram, and calls `handle` with each answer in it. Returns as
    /// [`Answers::read`].
    pub(super) fn receive_answers(
        &self,
        answers: &mut Answers,
        handle: &mut impl FnMut(&Answer),
    ) -> Result<Option<bool>, NetlinkError> {
        let mut buffer = self.buffer.borrow_mut();
        self.receive(&mut buffer)?;
        answers.read(&buffer, handle)
    }

    /// Receives the next datagram of the kernel, and discards datagrams of other senders.
    fn receive(&self, buffer: &mut Vec<u8>) -> Result<(), NetlinkError> {
        loop {
            buffer.clear();
            match self.kernel.recv_from(buffer, nix::libc::MSG_TRUNC) {
                Ok((length, _)) if length > buffer.len() => {
                    return Err(NetlinkError::Transport(format!(
                        "an answer of {length} bytes is too long"
                    )));
                }
                Ok((_, from)) if from.port_number() == 0 => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(NetlinkError::NoAnswer(ANSWER_TIMEOUT_SECONDS));
                }
                Err(error) => return Err(transport(error)),
            }
        }
    }
}

/// The attempts to read a list. On a host that creates containers all the time, many lists change.
const MAX_ATTEMPTS: usize = 50;
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// Repeats a request for a list until the kernel has sent it without a change in between.
///
/// # Errors
/// [`NetlinkError::Interrupted`] when it changed in [`MAX_ATTEMPTS`] attempts.
pub(super) fn until_complete<T>(
    mut request: impl FnMut() -> Result<T, NetlinkError>,
) -> Result<T, NetlinkError> {
    for _ in 1..MAX_ATTEMPTS {
        match request() {
            Err(NetlinkError::Interrupted(_)) => thread::sleep(RETRY_INTERVAL),
            result => return result,
        }
    }
    request().map_err(|error| match error {
        NetlinkError::Interrupted(_) => NetlinkError::Interrupted(MAX_ATTEMPTS),
        other => other,
    })
}

/// The answers to one request.
pub(super) struct Answers {
    sequence: u32,
    /// Whether the kernel has set `NLM_F_DUMP_INTR`: the list has changed while the kernel sent it
    /// (`nl_dump_check_consistent`, `include/net/netlink.h`).
    interrupted: bool,
}

impl Answers {
    fn to(sequence: u32) -> Self {
        Self { sequence, interrupted: false }
    }

    /// Calls `handle` with each answer in a datagram. `None`: more datagrams follow. Otherwise
    /// returns whether the answers are complete.
    fn read(
        &mut self,
        datagram: &[u8],
        handle: &mut impl FnMut(&Answer),
    ) -> Result<Option<bool>, NetlinkError> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let answer = NetlinkMessage::<Answer>::deserialize(rest)
                .map_err(|error| NetlinkError::Transport(error.to_string()))?;
            let (header, payload) = answer.into_parts();
            let length = (header.length as usize).next_multiple_of(4).min(rest.len());
            rest = &rest[length..];
            // A late answer to an earlier request that timed out.
            if header.sequence_number != self.sequence {
                continue;
            }
            self.interrupted |= header.flags & NLM_F_DUMP_INTR != 0;
            match payload {
                NetlinkPayload::Done(done) => {
                    return check_code(done.code).map(|()| Some(!self.interrupted));
                }
                NetlinkPayload::Error(error) => {
                    return check_code(error.raw_code()).map(|()| Some(true));
                }
                NetlinkPayload::InnerMessage(answer) => {
                    handle(&answer);
                    if header.flags & NLM_F_MULTIPART == 0 {
                        return Ok(Some(true));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

/// A message of the kernel that is not parsed yet.
pub(super) struct Answer {
    header: NetlinkHeader,
    /// The part after the netlink header.
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn is(&self, kind: u16) -> bool {
        self.header.message_type == kind
    }

    /// Parses the whole message. Fails if a single attribute is malformed, so use it only for
    /// messages that containers cannot influence.
    pub(super) fn parse(&self) -> Result<RouteNetlinkMessage, NetlinkError> {
        RouteNetlinkMessage::deserialize(&self.header, &self.body)
            .map_err(|error| NetlinkError::Transport(error.to_string()))
    }
}

impl NetlinkDeserializable for Answer {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { header: *header, body: payload.to_vec() })
    }
}

/// The kind of a request.
#[derive(Clone, Copy)]
pub(super) enum Request {
    /// Reads one object.
    Get,
    /// Reads all objects.
    Dump,
    /// Changes one object.
    Set,
}

/// Receives an event for each change to a link of the network namespace.
pub(super) struct LinkEventSocket(netlink_sys::Socket);

impl LinkEventSocket {
    pub(super) fn open() -> io::Result<Self> {
        let mut kernel = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        kernel.bind_auto()?;
        kernel.add_membership(LINK_GROUP)?;
        kernel.set_non_blocking(true)?;
        Ok(Self(kernel))
    }

    /// Returns when a link has changed since the socket was opened or since the last call, or at
    /// the deadline. The caller must read the link itself, because the kernel may drop events.
    pub(super) fn wait(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, timeout.unwrap_or(PollTimeout::MAX));
        while self.0.recv(&mut Vec::with_capacity(1), 0).is_ok() {}
    }
}

/// The kernel reports 0 or a negated errno.
fn check_code(code: i32) -> Result<(), NetlinkError> {
    match code {
        0 => Ok(()),
        code => Err(NetlinkError::Refused(Errno::from_raw(-code))),
    }
}

fn transport(error: io::Error) -> NetlinkError {
    NetlinkError::Transport(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `NLMSG_DONE`, `include/uapi/linux/netlink.h`
    const DONE: u16 = 3;
    const NEWLINK: u16 = 16;

    fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | NLM_F_MULTIPART).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes
    }

    /// What [`Answers::read`] returns for the last of the datagrams, and the number of answers.
    fn read(datagrams: &[Vec<u8>]) -> (Result<Option<bool>, NetlinkError>, usize) {
        let (mut answers, mut count) = (Answers::to(7), 0);
        let mut last = Ok(None);
        for datagram in datagrams {
            last = answers.read(datagram, &mut |_: &Answer| count += 1);
        }
        (last, count)
    }

    #[test]
    fn an_interrupted_list_is_not_complete() {
        let link = |flags| message(NEWLINK, flags, 7, &[0; 16]);
        let done = |flags| message(DONE, flags, 7, &[0; 4]);
        let interrupted = NLM_F_DUMP_INTR;
        for (datagrams, is_complete) in [
            (vec![[link(0), link(0)].concat(), done(0)], true),
            (vec![[link(0), link(interrupted)].concat(), link(0), done(0)], false),
            (vec![link(0), done(interrupted)], false),
            // The answer to an earlier request.
            (vec![message(NEWLINK, interrupted, 6, &[0; 16]), link(0), done(0)], true),
        ] {
            let (result, count) = read(&datagrams);
            assert_eq!(result.unwrap(), Some(is_complete), "{datagrams:?}");
            assert!(count > 0);
        }
        assert_eq!(read(&[link(0)]).0.unwrap(), None);
        let refused = message(DONE, interrupted, 7, &(-5_i32).to_ne_bytes());
        assert!(matches!(read(&[refused]).0, Err(NetlinkError::Refused(Errno::EIO))));
    }

    #[test]
    fn an_interrupted_list_is_read_again_a_limited_number_of_times() {
        let mut attempts = 0;
        let result = until_complete(|| {
            attempts += 1;
            if attempts < 3 { Err(NetlinkError::Interrupted(1)) } else { Ok(attempts) }
        });
        assert!(matches!(result, Ok(3)));
        let mut attempts = 0;
        let result: Result<(), _> = until_complete(|| {
            attempts += 1;
            Err(NetlinkError::Interrupted(1))
        });
        assert!(matches!(result, Err(NetlinkError::Interrupted(MAX_ATTEMPTS))));
        assert_eq!(attempts, MAX_ATTEMPTS);
    }
}
