//! The restore of a netdev, on real veth pairs with `ip` as the second opinion. These tests need root, and fail without it.

use std::sync::mpsc;
use std::thread;

use crate::kernel::ethtool;
use crate::kernel::in_a_netns::{index_of, ip, with_veths};
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netlink::Netlink;
use crate::nic::netdev;

/// What a container may do to an interface, undone on one that a rebind would have replaced.
#[test]
fn an_interface_is_given_back_as_it_was() {
    with_veths(|| {
        ip("link set host0 alias mine txqueuelen 500 mtu 1450");
        ethtool::set_features("host0", &without_one(&ethtool::features("host0").unwrap())).unwrap();
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        let shown = ip("-d link show host0");
        let (_, before) = NetdevSettings::read(&netlink, "0000:01:10.0", index).unwrap();

        ip(
            "link set host0 name mon0 alias theirs txqueuelen 7 mtu 1300 promisc on allmulticast on up",
        );
        ethtool::set_features("mon0", &without_one(&before.features)).unwrap();
        let verify = || netdev::verify(&netlink, "0000:01:10.0", index, &before, "mon0");
        assert!(verify().is_err());
        netdev::restore(&netlink, "0000:01:10.0", index, &before).unwrap();
        verify().unwrap();
        let mut now = ip("-d link show host0");
        // Once it has been up, the kernel has given it its usual queueing.
        now[0]["qdisc"] = shown[0]["qdisc"].clone();
        now[0]["operstate"] = shown[0]["operstate"].clone();
        assert_eq!(now, shown);
    });
}

/// udev gives a new interface its name while its offloads are given back.
#[test]
fn offloads_are_given_back_to_an_interface_that_is_being_renamed() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        let (_, fresh) = NetdevSettings::read(&netlink, "0000:01:10.0", index).unwrap();
        let before = NetdevSettings { features: without_one(&fresh.features), ..fresh };
        let (stop, stopped) = mpsc::channel::<()>();
        thread::scope(|scope| {
            // Threads are made in the namespace of whoever makes them.
            scope.spawn(move || {
                let netlink = Netlink::open().unwrap();
                while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    netlink.rename(index, "renamed0").unwrap();
                    netlink.rename(index, "host0").unwrap();
                }
            });
            netdev::restore(&netlink, "0000:01:10.0", index, &before).unwrap();
            let verified = netdev::verify(&netlink, "0000:01:10.0", index, &before, "mon0");
            drop(stop);
            verified.unwrap();
        });
        assert_eq!(ethtool::features("host0").unwrap(), before.features);
    });
}

/// The features with one fewer.
fn without_one(features: &[u32]) -> Vec<u32> {
    let mut fewer = features.to_vec();
    let word = fewer.iter_mut().find(|word| **word != 0).expect("veth has features to choose");
    *word &= *word - 1;
    fewer
}
