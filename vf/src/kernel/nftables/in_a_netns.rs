//! Tests of the egress chain on the running kernel, counted at the other end of a veth.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::libc;

use super::*;
use crate::kernel::in_a_netns::{index_of, ip, with_veths};
use crate::kernel::packet::{ETHERTYPE, Port};

fn frame(text: &[u8]) -> Vec<u8> {
    let mut bytes = [[0xff; 6], [2, 0, 0, 0, 0, 1]].concat();
    bytes.extend(ETHERTYPE.to_be_bytes());
    bytes.extend(text);
    bytes.resize(60, 0);
    bytes
}

fn bypass_qdisc(port: &Port) {
    let on = 1_i32;
    // SAFETY: the option is an `int`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            std::os::fd::AsFd::as_fd(port).as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_QDISC_BYPASS,
            (&raw const on).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    Errno::result(result).unwrap();
}

/// Both ends of a veth, up: one sends, the other counts.
fn ports() -> (Port, Port) {
    ip("link set host0 up");
    ip("link set host1 up");
    (Port::open(index_of("host0")).unwrap(), Port::open(index_of("host1")).unwrap())
}

/// Sends frames, and returns how many of them arrive within half a second.
fn arrivals(from: &Port, to: &Port, frames: usize) -> usize {
    for _ in 0..frames {
        // The kernel reports a dropped frame as ENOBUFS, or as sent.
        let _ = from.send(&frame(b"sensor"));
    }
    let deadline = Instant::now() + Duration::from_millis(500);
    let mut arrived = 0;
    while arrived < frames && Instant::now() < deadline {
        arrived += usize::from(to.receive().unwrap().is_some());
    }
    arrived
}

#[test]
fn no_frame_of_a_packet_socket_leaves_also_without_the_qdisc() {
    with_veths(|| {
        let (from, to) = ports();
        assert_eq!(arrivals(&from, &to, 20), 20);
        assert!(!drops_egress("host0").unwrap());
        drop_egress("host0").unwrap();
        assert!(drops_egress("host0").unwrap());
        assert_eq!(arrivals(&from, &to, 20), 0);
        bypass_qdisc(&from);
        assert_eq!(arrivals(&from, &to, 20), 0, "PACKET_QDISC_BYPASS");
        // Frames still arrive.
        assert_eq!(arrivals(&to, &from, 20), 20);
    });
}

#[test]
fn a_later_interface_of_the_same_name_may_send_if_it_is_allowed_to() {
    with_veths(|| {
        allow_egress("host0").unwrap();
        drop_egress("host0").unwrap();
        drop_egress("host0").unwrap();
        let (from, to) = ports();
        assert_eq!(arrivals(&from, &to, 5), 0);
        ip("link del host0");
        ip("link add host0 type veth peer name host1");
        allow_egress("host0").unwrap();
        let (from, to) = ports();
        assert_eq!(arrivals(&from, &to, 5), 5);
        drop_egress("host0").unwrap();
        assert_eq!(arrivals(&from, &to, 5), 0);
    });
}

#[test]
fn each_interface_has_a_chain_of_its_own() {
    with_veths(|| {
        let (from, to) = ports();
        drop_egress("host0").unwrap();
        drop_egress("host1").unwrap();
        assert!(drops_egress("host0").unwrap() && drops_egress("host1").unwrap());
        assert_eq!(arrivals(&from, &to, 5), 0);
        allow_egress("host0").unwrap();
        assert!(!drops_egress("host0").unwrap() && drops_egress("host1").unwrap());
        assert_eq!(arrivals(&from, &to, 5), 5);
    });
}
