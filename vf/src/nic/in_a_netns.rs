//! Tests of the restore of a netdev, on real veth pairs. `ip` shows the result. These tests need
//! root and fail without it.

use std::sync::mpsc;
use std::thread;

use crate::kernel::ethtool;
use crate::kernel::in_a_netns::{index_of, ip, with_veths};
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netlink::Netlink;
use crate::nic::netdev;

/// Makes the changes that a container may make, and restores the same netdev. After a real rebind
/// it would be a new one.
#[test]
fn restore_undoes_the_changes_of_a_container() {
    with_veths(|| {
        ip("link set host0 alias mine txqueuelen 500 mtu 1450");
        ethtool::set_features("host0", &without_one(&ethtool::features("host0").unwrap())).unwrap();
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        let shown = ip("-d link show host0");
        let (_, before) = NetdevSettings::read(&netlink, "0000:01:10.0", index).unwrap();

        ip("link set host0 name mon0 alias theirs txqueuelen 7 mtu 1300 promisc on \
             allmulticast on up");
        ethtool::set_features("mon0", &without_one(&before.features)).unwrap();
        let verify = || netdev::verify(&netlink, "0000:01:10.0", index, &before, "mon0");
        assert!(verify().is_err());
        netdev::restore(&netlink, "0000:01:10.0", index, &before).unwrap();
        verify().unwrap();
        let mut now = ip("-d link show host0");
        // The kernel assigned its default qdisc when the netdev first came up.
        now[0]["qdisc"] = shown[0]["qdisc"].clone();
        now[0]["operstate"] = shown[0]["operstate"].clone();
        assert_eq!(now, shown);
    });
}

/// udev may rename a new netdev while a release restores its offloads.
#[test]
fn offloads_are_restored_during_a_rename() {
    with_veths(|| {
        let netlink = Netlink::open().unwrap();
        let index = index_of("host0");
        let (_, fresh) = NetdevSettings::read(&netlink, "0000:01:10.0", index).unwrap();
        let before = NetdevSettings { features: without_one(&fresh.features), ..fresh };
        let (stop, stopped) = mpsc::channel::<()>();
        thread::scope(|scope| {
            // A new thread is in the network namespace of the thread that created it.
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

/// Clears one of the set features.
fn without_one(features: &[u32]) -> Vec<u32> {
    let mut fewer = features.to_vec();
    let word =
        fewer.iter_mut().find(|word| **word != 0).expect("veth has features that can be cleared");
    *word &= *word - 1;
    fewer
}
