//! Tests of this wing on the running kernel. Each test has its own network namespaces and compares
//! the results with `ip`. The tests need root and fail without it.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt};
use serde_json::Value;

use super::ethtool;
use super::netlink::{Flags, Netlink, packet_sockets};
use super::netns::{Netns, NetnsId, is_host_netns, loopback_up, set_ipv6_sysctl, visit};
use super::netns_sysfs::NetnsSysfs;
use super::packet::{ETHERTYPE, Frame, Port};

/// Runs `test` on a thread in a new network namespace that holds a pair of veths, `host0` and
/// `host1`.
pub(crate) fn with_veths(test: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: these tests need root");
            ip("link add host0 type veth peer name host1");
            test();
        });
        worker.join().unwrap();
    });
}

/// Creates another network namespace. It exists until the returned value is dropped.
fn other_netns() -> Netns {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        send.send(Netns::own().unwrap()).unwrap();
    });
    receive.recv().unwrap()
}

pub(crate) fn ip(arguments: &str) -> Value {
    let output = Command::new("ip").arg("-j").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

pub(crate) fn index_of(name: &str) -> u32 {
    ip(&format!("link show {name}"))[0]["ifindex"].as_u64().unwrap() as u32
}

const SENSOR: Flags = Flags { up: true, promisc: true, allmulti: true, noarp: true };

#[test]
fn set_flags_turns_flags_on_and_off() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        netlink.set_flags(index, SENSOR).unwrap();
        let shown = ip("link show host0")[0]["flags"].to_string();
        for flag in ["UP", "PROMISC", "ALLMULTI", "NOARP"] {
            assert!(shown.contains(&format!("\"{flag}\"")), "{shown}");
        }
        assert_eq!(netlink.link(index).unwrap().unwrap().flags, SENSOR);

        netlink.set_flags(index, Flags::default()).unwrap();
        let shown = ip("link show host0")[0]["flags"].to_string();
        for flag in ["UP", "PROMISC", "ALLMULTI", "NOARP"] {
            assert!(!shown.contains(&format!("\"{flag}\"")), "{shown}");
        }
    });
}

#[test]
fn add_flags_keeps_the_other_flags() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        ip("link set host0 allmulticast on");
        netlink.add_flags(index, Flags { up: true, ..Flags::default() }).unwrap();
        netlink.add_flags(index, Flags { promisc: true, ..Flags::default() }).unwrap();
        let shown = ip("link show host0")[0]["flags"].to_string();
        for flag in ["\"UP\"", "PROMISC", "ALLMULTI"] {
            assert!(shown.contains(flag), "{shown}");
        }
        assert!(!shown.contains("NOARP"), "{shown}");
    });
}

#[test]
fn clear_flags_keeps_the_other_flags() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        netlink.set_flags(index, SENSOR).unwrap();
        netlink.clear_flags(index, Flags { allmulti: true, ..Flags::default() }).unwrap();
        let shown = ip("link show host0")[0]["flags"].to_string();
        assert!(!shown.contains("ALLMULTI"), "{shown}");
        let rest = Flags { allmulti: false, ..SENSOR };
        assert_eq!(netlink.link(index).unwrap().unwrap().flags, rest);
    });
}

/// A PF may be a port of a bridge. The bridge makes its ports promiscuous without the flag, which
/// alone counts for a PF, because it stays when the bridge is removed.
#[test]
fn the_promisc_flag_of_a_bridge_port_is_its_own() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        ip("link add br0 type bridge");
        ip("link set host0 master br0");
        let link = || netlink.link(index).unwrap().unwrap();
        assert!(link().master && !link().flags.promisc && link().promiscuity > 0);
        netlink.add_flags(index, Flags { promisc: true, ..Flags::default() }).unwrap();
        assert!(link().flags.promisc);
        ip("link set host0 nomaster");
        assert!(!link().master && link().flags.promisc);
    });
}

/// So a search for a netdev need not list all links of a namespace.
#[test]
fn the_sysfs_of_a_netns_shows_the_netdevs_of_that_netns() {
    with_veths(|| {
        let shows_host0 = |mounted: NetnsSysfs| {
            mounted.sysfs.0.join("class/net/host0").symlink_metadata().is_ok()
        };
        assert!(shows_host0(NetnsSysfs::mount().unwrap()));
        assert!(!shows_host0(other_netns().inside(NetnsSysfs::mount).unwrap()));
    });
}

#[test]
fn a_driver_without_private_flags_reports_none() {
    with_veths(|| {
        assert_eq!(ethtool::driver_info("host0").unwrap().private_flags, 0);
        assert_eq!(ethtool::private_flags("host0"), Ok(vec![]));
        assert_eq!(ethtool::set_private_flag("host0", "any", true), Err(Errno::EOPNOTSUPP));
        assert_eq!(ethtool::private_flags("none"), Err(Errno::ENODEV));
    });
}

#[test]
fn a_veth_has_carrier_once_both_ends_are_up() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        netlink.set_flags(index, SENSOR).unwrap();
        assert!(!netlink.link(index).unwrap().unwrap().carrier);
        ip("link set host1 up");
        assert!(netlink.link(index).unwrap().unwrap().carrier);
    });
}

#[test]
fn a_lost_carrier_is_counted() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        ip("link set host0 up");
        ip("link set host1 up");
        let counts = || netlink.link(index).unwrap().unwrap().carrier_counts;
        let before = counts();
        ip("link set host1 down");
        ip("link set host1 up");
        let after = counts();
        assert_eq!(after.changes, before.changes + 2);
        assert_eq!(after.downs, before.downs + 1);
        let mounted = NetnsSysfs::mount().unwrap();
        let shown = |file: &str| {
            let path = mounted.sysfs.0.join("class/net/host0").join(file);
            std::fs::read_to_string(path).unwrap().trim().parse::<u32>().unwrap()
        };
        assert_eq!(after.changes, shown("carrier_changes"));
        assert_eq!(after.downs, shown("carrier_down_count"));
    });
}

/// veth has counters; the loopback device has none.
#[test]
fn the_counters_of_a_driver_can_be_read() {
    with_veths(|| {
        assert_eq!(ethtool::read_statistics("host0"), Ok(()));
        assert_eq!(ethtool::read_statistics("lo"), Err(Errno::EOPNOTSUPP));
        assert_eq!(ethtool::read_statistics("none"), Err(Errno::ENODEV));
    });
}

/// A process in a container may give a netdev any name.
#[test]
fn the_counters_of_a_netdev_with_a_name_that_is_not_utf_8_can_be_read() {
    with_veths(|| {
        let name = OsStr::from_bytes(b"host\xff");
        let renamed = Command::new("ip").args(["link", "set", "host0", "name"]).arg(name).status();
        assert!(renamed.unwrap().success());
        assert_eq!(ethtool::read_statistics(name.as_bytes()), Ok(()));
    });
}

#[test]
fn a_link_moves_under_a_new_name_if_its_old_name_is_in_use_there() {
    with_veths(|| {
        let there = other_netns();
        there
            .inside(|| {
                ip("link add host0 type veth peer name other");
                Ok(())
            })
            .unwrap();
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        netlink.move_to(index, std::os::fd::AsFd::as_fd(&there), "mon0").unwrap();
        assert!(netlink.link(index).unwrap().is_none());
        there
            .inside(|| {
                let links: Vec<Value> = ip("link").as_array().unwrap().clone();
                assert_eq!(links.iter().filter(|link| link["ifname"] == "mon0").count(), 1);
                assert!(Netlink::open()?.links()?.iter().any(|link| link.name == "mon0"));
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn mtu_name_and_altnames_match_the_output_of_ip() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        netlink.set_mtu(index, 1400).unwrap();
        netlink.rename(index, "home0").unwrap();
        ip("link property add dev home0 altname other0");
        assert_eq!(ip("link show home0")[0]["mtu"], 1400);
        let link = netlink.link(index).unwrap().unwrap();
        assert_eq!((link.name.as_str(), link.mtu), ("home0", 1400));
        assert_eq!(link.altnames, ["other0"]);
        assert_eq!(link.mac.to_string(), ip("link show home0")[0]["address"].as_str().unwrap());
        assert!(netlink.rename(index, "host1").is_err());
        assert!(netlink.link(4242).unwrap().is_none());
    });
}

#[test]
fn a_sysctl_is_written_only_in_the_current_netns() {
    with_veths(|| {
        let disabled = || {
            std::fs::read_to_string(
                "/proc/thread-self/root/proc/sys/net/ipv6/conf/host0/disable_ipv6",
            )
        };
        set_ipv6_sysctl("host0", "disable_ipv6", "1").unwrap();
        if let Ok(value) = disabled() {
            assert_eq!(value.trim(), "1");
        }
        other_netns()
            .inside(|| {
                assert!(disabled().is_err(), "there is no host0 in the other namespace");
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn loopback_up_brings_lo_up_in_the_netns_of_a_process() {
    let mut child = Command::new("unshare").args(["-n", "sleep", "60"]).spawn().unwrap();
    let pid = child.id() as i32;
    let path = format!("/proc/{pid}/ns/net");
    // Waits until unshare(1) has created its namespace, up to ten seconds.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while is_host_netns(path.as_ref()).unwrap() {
        assert!(std::time::Instant::now() < deadline, "unshare -n did not unshare");
        thread::yield_now();
    }
    loopback_up(pid).unwrap();
    let shown = Netns::open(path.as_ref()).unwrap().inside(|| Ok(ip("link show lo")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(shown.unwrap()[0]["flags"].to_string().contains("\"UP\""));
    assert!(loopback_up(pid).is_err(), "the process is gone");
}

fn ethernet(ethertype: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = [[0xff; 6], [2, 0, 0, 0, 0, 1]].concat();
    bytes.extend(ethertype);
    bytes.extend(payload);
    bytes.resize(60, 0);
    bytes
}

#[test]
fn a_port_receives_only_its_ethertype_and_reports_vlan_tags() {
    with_veths(|| {
        ip("link set host0 up");
        ip("link set host1 up");
        let (from, to) =
            (Port::open(index_of("host0")).unwrap(), Port::open(index_of("host1")).unwrap());
        let ethertype = ETHERTYPE.to_be_bytes();
        let plain = ethernet(&ethertype, b"plain");
        let tag = [&[0x81, 0x00, 0x00, 0x64], &ethertype[..]].concat();
        for frame in [&ethernet(&[0x08, 0x00], b"other"), &plain, &ethernet(&tag, b"tagged")] {
            from.send(frame).unwrap();
        }
        // A veth delivers frames on the sender's CPU, but only after the sender yields it.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let mut received = Vec::new();
        while received.len() < 2 && std::time::Instant::now() < deadline {
            received.extend(to.receive().unwrap());
        }
        assert_eq!(received[0], Frame { bytes: plain, tagged: false });
        assert_eq!(
            (received[1].tagged, &received[1].bytes[..20]),
            (true, &ethernet(&ethertype, b"tagged")[..20])
        );
        assert_eq!(to.receive(), Ok(None));

        ip("link set host1 down");
        assert_eq!(to.receive(), Err(Errno::ENETDOWN));
        assert_eq!(Port::open(4242).unwrap_err(), Errno::ENODEV);
    });
}

#[test]
fn a_new_netns_differs_from_the_current_one_and_has_no_link_up() {
    let there = Netns::create().unwrap();
    assert_ne!(there.id, Netns::own().unwrap().id);
    let links = there.inside(|| Netlink::open()?.links()).unwrap();
    assert!(links.iter().all(|link| !link.flags.up), "{links:?}");
}

#[test]
fn has_address_finds_an_address_of_that_link_only() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        assert!(!netlink.has_address(index).unwrap());
        ip("addr add 192.0.2.1/24 dev host0");
        assert!(netlink.has_address(index).unwrap());
        assert!(!netlink.has_address(index_of("host1")).unwrap());
    });
}

/// Engines and `ip netns` bind-mount network namespaces.
#[test]
fn a_bind_mounted_netns_can_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let mount_point = folder.path().join("netns");
    std::fs::write(&mount_point, "").unwrap();
    let mut holder = Command::new("unshare").args(["-n", "sleep", "1000"]).spawn().unwrap();
    let holder_netns = format!("/proc/{}/ns/net", holder.id());
    let unshared = || {
        std::fs::read_link(&holder_netns)
            .is_ok_and(|it| it != std::fs::read_link("/proc/self/ns/net").unwrap())
    };
    while !unshared() {
        thread::yield_now();
    }
    let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
        assert!(Command::new(program).args(arguments).status().unwrap().success(), "{program}");
    };
    run("mount", &["--bind".as_ref(), holder_netns.as_ref(), mount_point.as_ref()]);
    let by_mount = Netns::open(&mount_point).map(|netns| netns.id);
    let by_process = Netns::open(holder_netns.as_ref()).map(|netns| netns.id);
    run("umount", &[mount_point.as_ref()]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(by_mount.unwrap(), by_process.unwrap());
    Netns::open(&mount_point).unwrap_err();
}

#[test]
fn an_alias_that_is_not_utf_8_hides_no_link() {
    use std::os::unix::ffi::OsStrExt;
    with_veths(|| {
        let alias = std::ffi::OsStr::from_bytes(b"\xff");
        let arguments = ["link", "set", "host0", "alias"].map(std::ffi::OsStr::new);
        assert!(Command::new("ip").args(arguments).arg(alias).status().unwrap().success());
        let link = Netlink::open().unwrap().link(index_of("host1")).unwrap().unwrap();
        assert_eq!(link.name, "host1");
        let all = Netlink::open().unwrap().links().unwrap();
        let aliased = all.iter().find(|link| link.alias == "\u{fffd}").unwrap();
        assert_eq!(aliased.name, "host0");
    });
}

/// Opens a packet socket for all protocols on a link, with a receive buffer of the least size.
fn capture_socket(ifindex: u32) -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None).unwrap();
    setsockopt(&socket, sockopt::RcvBuf, &1).unwrap();
    // SAFETY: an all-zero `sockaddr_ll` is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = ifindex as i32;
    let size = size_of_val(&address) as u32;
    // SAFETY: `address` is a `sockaddr_ll` of `size` bytes that outlives the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
    Errno::result(bound).unwrap();
    socket
}

fn set_packet_option<T>(socket: &OwnedFd, option: i32, value: &T) {
    let size = size_of_val(value) as u32;
    // SAFETY: `value` has `size` bytes and outlives the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const *value).cast(),
            size,
        )
    };
    Errno::result(set).unwrap();
}

fn inode_of(socket: &OwnedFd) -> u32 {
    nix::sys::stat::fstat(socket).unwrap().st_ino as u32
}

#[test]
fn the_loss_of_a_capture_socket_is_known_without_a_ring_and_unknown_with_one() {
    with_veths(|| {
        // IPv6, which would send frames of its own, needs an MTU of 1280 (`addrconf_notify`).
        ip("link set host0 up mtu 1200");
        ip("link set host1 up mtu 1200");
        let (sender, index) = (Port::open(index_of("host0")).unwrap(), index_of("host1"));
        let plain = capture_socket(index);
        let ring = capture_socket(index);
        // `struct tpacket_req`: the size and the number of the blocks, the same of the frames.
        set_packet_option(&ring, libc::PACKET_RX_RING, &[4096_u32, 2, 2048, 4]);
        // Both sockets have room for fewer frames.
        for _ in 0..100 {
            sender.send(&[0xff; 1000]).unwrap();
        }
        let sockets = packet_sockets().unwrap();
        let found = |socket| sockets.iter().find(|found| found.inode == inode_of(socket)).unwrap();
        let (plain, ring) = (found(&plain), found(&ring));
        assert_eq!((plain.ring, plain.ifindex, plain.protocol), (None, index, 3));
        // The frames that it took are at most what fits into the least buffer of the kernel.
        assert!((90..=100).contains(&plain.drops), "{plain:?}");
        assert_eq!((ring.ring, ring.ifindex, ring.drops), (Some(8192), index, 0));
        // A namespace lists only its own sockets.
        let others = other_netns().inside(|| Ok(packet_sockets().unwrap())).unwrap();
        assert_eq!(others, []);
    });
}

#[test]
fn a_link_is_found_by_its_name_and_not_taken_for_another_device() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        // A veth has no parent device.
        assert!(netlink.link_by_name_or_pci("host0", "0000:01:10.0").unwrap().is_none());
        assert!(netlink.link_by_name_or_pci("none", "0000:01:10.0").unwrap().is_none());
    });
}

#[test]
fn a_visitor_sees_one_namespace_after_the_other_and_the_caller_stays() {
    with_veths(|| {
        let (first, second) = (other_netns(), other_netns());
        let before = NetnsId::own().unwrap();
        let seen = visit(|visitor| {
            let mut seen = Vec::new();
            for netns in [&first, &second, &first] {
                visitor.enter(netns)?;
                seen.push(NetnsId::own()?);
            }
            Ok(seen)
        });
        assert_eq!(seen.unwrap(), [first.id, second.id, first.id]);
        assert_eq!(NetnsId::own().unwrap(), before);
    });
}
