//! One request, its answers, and an end to the wait for them.
//!
//! Synchronous: nobody here has two requests under way, and an event loop would cost a hook more than all that it asks. While the
//! kernel waits for its own network lock (RTNL) on our behalf, inside send(2), nothing can be given up: a driver that hangs
//! with that lock held stops everybody who has to do with networks.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_MULTIPART, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use crate::fault;
use crate::kernel::error::NetlinkError;

/// Seconds that the kernel may be silent. iavf and i40e hold RTNL for hundreds of milliseconds while they reset a VF.
const ANSWER_TIMEOUT_SECONDS: u64 = 20;

/// Bytes. An attribute is 64 KiB at most, and of a link's three or four can be that long: its PF's VFs, its alternative names, what is
/// special to its kind. A container may have made them so; what is not used costs nothing.
const LONGEST: usize = 512 << 10;

/// `RTNLGRP_LINK`, `include/uapi/linux/rtnetlink.h`
const LINKS: u32 = 1;

/// A socket in the network namespace of the thread that opened it.
pub(super) struct Socket {
    kernel: netlink_sys::Socket,
    sequence: Cell<u32>,
    buffer: RefCell<Vec<u8>>,
}

impl Socket {
    pub(super) fn open() -> io::Result<Self> {
        let kernel = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        // Who asks for one interface's addresses is told no others (Linux 4.20).
        kernel.set_netlink_get_strict_chk(true)?;
        setsockopt(
            &kernel,
            sockopt::ReceiveTimeout,
            &TimeVal::new(ANSWER_TIMEOUT_SECONDS as i64, 0),
        )?;
        Ok(Self {
            kernel,
            sequence: Cell::new(0),
            buffer: RefCell::new(Vec::with_capacity(LONGEST)),
        })
    }

    /// Sends a request and hands each answer to `each`.
    pub(super) fn ask(
        &self,
        point: &'static str,
        message: RouteNetlinkMessage,
        how: Request,
        mut each: impl FnMut(&Answer),
    ) -> Result<(), NetlinkError> {
        if fault::lie(point).map_err(NetlinkError::Refused)? {
            return Ok(());
        }
        self.sequence.set(self.sequence.get() + 1);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST
            | match how {
                Request::Get => 0,
                Request::Dump => NLM_F_DUMP,
                Request::Set => NLM_F_ACK,
            };
        request.header.sequence_number = self.sequence.get();
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.kernel.send(&bytes, 0).map_err(broken)?;
        let mut buffer = self.buffer.borrow_mut();
        loop {
            self.receive(&mut buffer)?;
            let mut rest = buffer.as_slice();
            while !rest.is_empty() {
                let answer = NetlinkMessage::<Answer>::deserialize(rest)
                    .map_err(|error| NetlinkError::Broken(error.to_string()))?;
                let (header, payload) = answer.into_parts();
                let length = (header.length as usize).next_multiple_of(4).min(rest.len());
                rest = &rest[length..];
                // An answer that came after we had given it up.
                if header.sequence_number != self.sequence.get() {
                    continue;
                }
                match payload {
                    NetlinkPayload::Done(done) => return outcome(done.code),
                    NetlinkPayload::Error(error) => return outcome(error.raw_code()),
                    NetlinkPayload::InnerMessage(answer) => {
                        each(&answer);
                        if header.flags & NLM_F_MULTIPART == 0 {
                            return Ok(());
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// The next datagram of the kernel's. Nobody else is listened to.
    fn receive(&self, buffer: &mut Vec<u8>) -> Result<(), NetlinkError> {
        loop {
            buffer.clear();
            match self.kernel.recv_from(buffer, nix::libc::MSG_TRUNC) {
                Ok((length, _)) if length > buffer.len() => {
                    return Err(NetlinkError::Broken(format!("an answer of {length} bytes")));
                }
                Ok((_, from)) if from.port_number() == 0 => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(NetlinkError::Silent(ANSWER_TIMEOUT_SECONDS));
                }
                Err(error) => return Err(broken(error)),
            }
        }
    }
}

/// A message of the kernel's, not yet understood.
pub(super) struct Answer {
    header: NetlinkHeader,
    /// What follows the netlink header.
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn is(&self, kind: u16) -> bool {
        self.header.message_type == kind
    }

    /// All of it. Fails if a single attribute cannot be read, so this is for what nobody but the host writes.
    pub(super) fn whole(&self) -> Result<RouteNetlinkMessage, NetlinkError> {
        RouteNetlinkMessage::deserialize(&self.header, &self.body)
            .map_err(|error| NetlinkError::Broken(error.to_string()))
    }
}

impl NetlinkDeserializable for Answer {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self { header: *header, body: payload.to_vec() })
    }
}

#[derive(Clone, Copy)]
pub(super) enum Request {
    Get,
    Dump,
    Set,
}

/// Hears of every link of a namespace that changes.
pub(super) struct LinkEventSocket(netlink_sys::Socket);

impl LinkEventSocket {
    pub(super) fn open() -> io::Result<Self> {
        let mut kernel = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        kernel.bind_auto()?;
        kernel.add_membership(LINKS)?;
        kernel.set_non_blocking(true)?;
        Ok(Self(kernel))
    }

    /// Returns when something has changed since it was opened or last asked, or at the deadline. What, is to be looked up:
    /// events may be lost.
    pub(super) fn wait(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
        let mut one = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut one, timeout.unwrap_or(PollTimeout::MAX));
        while self.0.recv(&mut Vec::with_capacity(1), 0).is_ok() {}
    }
}

/// Zero, or an errno with a minus, as the kernel has them.
fn outcome(code: i32) -> Result<(), NetlinkError> {
    match code {
        0 => Ok(()),
        code => Err(NetlinkError::Refused(Errno::from_raw(-code))),
    }
}

fn broken(error: io::Error) -> NetlinkError {
    NetlinkError::Broken(error.to_string())
}
