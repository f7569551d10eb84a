//! The edge against a real kernel: each test in network namespaces of its own, with `ip` as the second opinion.
//! They need root, and fail without.

use std::process::Command;
use std::sync::mpsc;
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;

use super::ethtool;
use super::netlink::{Flags, Netlink};
use super::netns::{Netns, is_host_netns, loopback_up, set_ipv6_sysctl};
use super::packet::{ETHERTYPE, Frame, Port};

/// Runs `test` on a thread in a new network namespace that holds a pair of veths, `host0` and `host1`.
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

/// A second namespace, which lives as long as what is returned.
fn another() -> Netns {
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
fn flags_are_set_and_taken_back_as_ip_sees_them() {
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
fn flags_are_added_and_the_others_stay() {
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
fn a_driver_without_private_flags_has_none() {
    with_veths(|| {
        assert_eq!(ethtool::driver_info("host0").unwrap().private_flags, 0);
        assert_eq!(ethtool::private_flags("host0"), Ok(vec![]));
        assert_eq!(ethtool::set_private_flag("host0", "any", true), Err(Errno::EOPNOTSUPP));
        assert_eq!(ethtool::private_flags("none"), Err(Errno::ENODEV));
    });
}

#[test]
fn carrier_is_there_once_both_ends_are_up() {
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
fn a_link_moves_under_a_new_name_though_its_old_one_is_taken_there() {
    with_veths(|| {
        let there = another();
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
                let names: Vec<Value> = ip("link").as_array().unwrap().clone();
                assert_eq!(names.iter().filter(|link| link["ifname"] == "mon0").count(), 1);
                assert!(Netlink::open()?.links()?.iter().any(|link| link.name == "mon0"));
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn mtu_name_and_altnames_are_read_as_ip_wrote_them() {
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
fn a_sysctl_is_written_inside_and_nowhere_else() {
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
        another()
            .inside(|| {
                assert!(disabled().is_err(), "there is no host0 in the other namespace");
                Ok(())
            })
            .unwrap();
    });
}

#[test]
fn receive_merging_is_off_afterwards() {
    with_veths(|| {
        ethtool::no_receive_merging("host0").unwrap();
        let error = ethtool::no_receive_merging("none0").unwrap_err().line();
        assert_eq!(error, "cannot turn off LRO and GRO of none0: No such device");
    });
}

#[test]
fn loopback_comes_up_in_the_namespace_of_a_process() {
    let mut child = Command::new("unshare").args(["-n", "sleep", "60"]).spawn().unwrap();
    let pid = child.id() as i32;
    let path = format!("/proc/{pid}/ns/net");
    // unshare(1) needs a moment to get there; the test's own bound is ten seconds.
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
fn frames_of_one_type_are_seen_with_their_tag_beside_them() {
    with_veths(|| {
        ip("link set host0 up");
        ip("link set host1 up");
        let (from, to) =
            (Port::open(index_of("host0")).unwrap(), Port::open(index_of("host1")).unwrap());
        let ours = ETHERTYPE.to_be_bytes();
        let plain = ethernet(&ours, b"plain");
        let tag = [&[0x81, 0x00, 0x00, 0x64], &ours[..]].concat();
        for frame in [&ethernet(&[0x08, 0x00], b"another's"), &plain, &ethernet(&tag, b"tagged")] {
            from.send(frame).unwrap();
        }
        // A veth delivers on the sender's CPU, but not before the sender gives that up.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let mut seen = Vec::new();
        while seen.len() < 2 && std::time::Instant::now() < deadline {
            seen.extend(to.receive().unwrap());
        }
        assert_eq!(seen[0], Frame { bytes: plain, tagged: false });
        assert_eq!(
            (seen[1].tagged, &seen[1].bytes[..20]),
            (true, &ethernet(&ours, b"tagged")[..20])
        );
        assert_eq!(to.receive(), Ok(None));

        ip("link set host1 down");
        assert_eq!(to.receive(), Err(Errno::ENETDOWN));
        assert_eq!(Port::open(4242).unwrap_err(), Errno::ENODEV);
    });
}

#[test]
fn a_new_namespace_is_another_and_empty() {
    let there = Netns::create().unwrap();
    assert_ne!(there.id, Netns::own().unwrap().id);
    let names = there.inside(|| Netlink::open()?.links()).unwrap();
    assert!(names.iter().all(|link| !link.flags.up), "{names:?}");
}

#[test]
fn an_address_is_seen() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        assert!(!netlink.has_address(index).unwrap());
        ip("addr add 192.0.2.1/24 dev host0");
        assert!(netlink.has_address(index).unwrap());
        assert!(!netlink.has_address(index_of("host1")).unwrap());
    });
}

/// Engines mount a namespace (`ip netns` does as well), and an alias or a name there may be of any bytes.
#[test]
fn a_mounted_one_with_an_alias_of_any_bytes_in_a_netns() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("netns");
    std::fs::write(&place, "").unwrap();
    let mut holder = Command::new("unshare").args(["-n", "sleep", "1000"]).spawn().unwrap();
    let its = format!("/proc/{}/ns/net", holder.id());
    let other = || {
        std::fs::read_link(&its)
            .is_ok_and(|it| it != std::fs::read_link("/proc/self/ns/net").unwrap())
    };
    while !other() {
        thread::yield_now();
    }
    let mount = |what: &str, arguments: &[&std::ffi::OsStr]| {
        assert!(Command::new(what).args(arguments).status().unwrap().success(), "{what}");
    };
    mount("mount", &["--bind".as_ref(), its.as_ref(), place.as_ref()]);
    let by_mount = Netns::open(&place).map(|netns| netns.id);
    let by_process = Netns::open(its.as_ref()).map(|netns| netns.id);
    mount("umount", &[place.as_ref()]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(by_mount.unwrap(), by_process.unwrap());
    Netns::open(&place).unwrap_err();

    with_veths(|| {
        let alias = std::ffi::OsStr::from_bytes(b"\xff");
        let words = ["link", "set", "host0", "alias"].map(std::ffi::OsStr::new);
        assert!(Command::new("ip").args(words).arg(alias).status().unwrap().success());
        let link = Netlink::open().unwrap().link(index_of("host1")).unwrap().unwrap();
        assert_eq!(link.name, "host1");
        let all = Netlink::open().unwrap().links().unwrap();
        let marked = all.iter().find(|link| link.alias == "\u{fffd}").unwrap();
        assert_eq!(marked.name, "host0");
    });
}
