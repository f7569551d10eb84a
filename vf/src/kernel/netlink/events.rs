//! Link events of one netdev, in the network namespace where the socket was opened.
//!
//! A container can make any number of links and change them all the time, so the kernel filters the
//! events of other links out before they reach the socket.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::libc;

use super::link::{Link, RTM_DELLINK, RTM_NEWLINK, u32_at};
use super::socket::LINK_GROUP;
use crate::kernel::carrier::CarrierCounts;

/// What matters of a link to a sensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetdevState {
    pub up: bool,
    /// By flag or by a socket.
    pub promiscuous: bool,
    pub carrier: bool,
    pub counts: CarrierCounts,
}

impl NetdevState {
    pub(crate) fn of(link: &Link) -> Self {
        Self {
            up: link.flags.up,
            promiscuous: link.promiscuity > 0,
            carrier: link.carrier,
            counts: link.carrier_counts,
        }
    }
}

/// An event of a netdev.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetdevEvent {
    Changed(NetdevState),
    /// The netdev was unregistered, or moved to another network namespace.
    Gone,
    /// The kernel dropped events, because the socket was full. The netdev may have any state.
    Overrun,
}

/// A socket that receives the events of one netdev. It stays in the network namespace of the thread
/// that opened it, and keeps this namespace alive (`sk_alloc`, `net/core/sock.c`).
#[derive(Debug)]
pub(crate) struct NetdevEvents(netlink_sys::Socket);

/// Bytes of an event that are read. The attributes that [`NetdevState`] needs are among the first
/// (`rtnl_fill_ifinfo`, `net/core/rtnetlink.c`); the long ones, such as alternative names, follow.
const EVENT_BYTES: usize = 4096;

/// The offset of `struct ifinfomsg` in a message (`include/uapi/linux/netlink.h`).
const BODY: usize = 16;
/// The offset of `ifi_index` in a message.
const IFINDEX: u32 = 20;

impl NetdevEvents {
    /// # Errors
    /// The answer of the kernel.
    pub(crate) fn open(ifindex: u32) -> io::Result<Self> {
        let mut kernel = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        kernel.set_non_blocking(true)?;
        filter(&kernel, ifindex)?;
        kernel.bind_auto()?;
        kernel.add_membership(LINK_GROUP)?;
        Ok(Self(kernel))
    }

    /// Returns the next event.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is none.
    pub(crate) fn read(&self) -> io::Result<NetdevEvent> {
        let mut buffer = Vec::with_capacity(EVENT_BYTES);
        loop {
            buffer.clear();
            match self.0.recv_from(&mut buffer, 0) {
                // Another process of the container can send to this socket as well.
                Ok((_, from)) if from.port_number() != 0 => {}
                Ok(_) => {
                    if let Some(event) = parse(&buffer) {
                        return Ok(event);
                    }
                }
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::ENOBUFS) => return Ok(NetdevEvent::Overrun),
                    Some(Errno::EINTR) => {}
                    _ => return Err(error),
                },
            }
        }
    }
}

impl AsRawFd for NetdevEvents {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// `None`: a message of another kind, such as that of a bridge about its port.
fn parse(message: &[u8]) -> Option<NetdevEvent> {
    let body = message.get(BODY..)?;
    if body.first().copied() != Some(libc::AF_UNSPEC as u8) {
        return None;
    }
    match u32_at(message, 4) as u16 {
        RTM_NEWLINK => Link::parse(body).as_ref().map(NetdevState::of).map(NetdevEvent::Changed),
        RTM_DELLINK => Some(NetdevEvent::Gone),
        _ => None,
    }
}

/// Lets only messages about this link pass (`socket(7)`, `SO_ATTACH_FILTER`; the kernel runs the
/// filter for each receiver of a multicast, `do_one_broadcast` in `net/netlink/af_netlink.c`).
fn filter(socket: &impl AsRawFd, ifindex: u32) -> io::Result<()> {
    let code = |parts: u32| parts as u16;
    let step = |parts: u32, jf: u8, k: u32| libc::sock_filter { code: code(parts), jt: 0, jf, k };
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, IFINDEX),
        // The load takes the bytes as a big-endian number, but netlink has the host's order.
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, ifindex.to_be()),
        step(libc::BPF_RET | libc::BPF_K, 0, u32::MAX),
        step(libc::BPF_RET | libc::BPF_K, 0, 0),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the option is a `sock_fprog`. It and its steps outlive the call; the kernel copies them.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, family: u8) -> Vec<u8> {
        let mut bytes = vec![0; BODY + 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[BODY] = family;
        bytes
    }

    #[test]
    fn messages_of_other_kinds_and_families_are_no_events() {
        assert_eq!(
            parse(&message(RTM_NEWLINK, 0)),
            Some(NetdevEvent::Changed(NetdevState::default()))
        );
        assert_eq!(parse(&message(RTM_DELLINK, 0)), Some(NetdevEvent::Gone));
        // `AF_BRIDGE`
        assert_eq!(parse(&message(RTM_NEWLINK, 7)), None);
        assert_eq!(parse(&message(20, 0)), None);
        for length in 0..BODY + 16 {
            // A truncated message is no event, or has the defaults.
            let _ = parse(&message(RTM_NEWLINK, 0)[..length]);
        }
    }

    /// These tests need root.
    mod in_a_netns {
        use super::*;
        use crate::kernel::in_a_netns::{index_of, ip, with_veths};

        fn all(events: &NetdevEvents) -> Vec<NetdevEvent> {
            std::iter::from_fn(|| events.read().ok()).collect()
        }

        #[test]
        fn only_events_of_the_link_arrive() {
            with_veths(|| {
                let events = NetdevEvents::open(index_of("host0")).unwrap();
                ip("link add other type veth peer name another");
                ip("link set host1 alias x");
                assert_eq!(all(&events), []);
                ip("link set host0 promisc on");
                let seen = all(&events);
                let on = NetdevState { promiscuous: true, ..NetdevState::default() };
                let Some(NetdevEvent::Changed(last)) = seen.last() else { panic!("{seen:?}") };
                assert_eq!(NetdevState { counts: on.counts, ..*last }, on);
                ip("link del host0");
                assert_eq!(all(&events).last(), Some(&NetdevEvent::Gone));
            });
        }

        #[test]
        fn a_reset_shows_in_the_carrier_and_its_counts() {
            with_veths(|| {
                ip("link set host1 up");
                ip("link set host0 up promisc on");
                let events = NetdevEvents::open(index_of("host0")).unwrap();
                ip("link set host1 down");
                ip("link set host1 up");
                let states: Vec<_> = all(&events)
                    .into_iter()
                    .filter_map(|event| match event {
                        NetdevEvent::Changed(state) => Some((state.carrier, state.counts.downs)),
                        _ => None,
                    })
                    .collect();
                let (lost, back) = (states.iter().position(|it| !it.0), states.last());
                assert!(lost.is_some() && back.is_some_and(|it| it.0), "{states:?}");
                assert!(states[lost.unwrap()].1 > 0, "{states:?}");
            });
        }

        /// A container can give its netdev alternative names of 64 KiB.
        #[test]
        fn names_of_a_container_hide_no_event() {
            with_veths(|| {
                let events = NetdevEvents::open(index_of("host0")).unwrap();
                for number in 0..200 {
                    ip(&format!("link property add dev host0 altname {number:0>120}"));
                }
                all(&events);
                ip("link set host0 promisc on");
                let seen = all(&events);
                assert!(
                    matches!(seen.last(), Some(NetdevEvent::Changed(state)) if state.promiscuous),
                    "{seen:?}"
                );
            });
        }

        #[test]
        fn a_flood_is_an_overrun_and_later_events_arrive() {
            with_veths(|| {
                let events = NetdevEvents::open(index_of("host0")).unwrap();
                let netlink = crate::kernel::netlink::Netlink::open().unwrap();
                let index = index_of("host0");
                let up = |on| crate::kernel::netlink::Flags { noarp: on, ..Default::default() };
                for number in 0..2000 {
                    netlink.set_flags(index, up(number % 2 == 0)).unwrap();
                }
                let seen = all(&events);
                assert!(seen.contains(&NetdevEvent::Overrun), "{} events", seen.len());
                ip("link set host0 promisc on");
                let last = all(&events).pop();
                assert!(matches!(last, Some(NetdevEvent::Changed(state)) if state.promiscuous));
            });
        }
    }
}
