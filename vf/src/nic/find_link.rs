//! Finds the link of a PCI function in the network namespace of a sysfs and a netlink socket.
//!
//! Sysfs names the netdev, netlink describes it, and for a moment the two may disagree.
//! `register_netdevice` (`net/core/dev.c`) shows a new netdev in sysfs before it is in the table of
//! indices, and `unregister_netdevice` and a move to another namespace remove it from that table
//! first. Newer kernels answer `RTM_GETLINK` without RTNL, so a reader can see the state in between.
//! A netdev may also be replaced by another one between both reads. So both are read again until
//! they agree.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::sysfs::Sysfs;
use crate::nic::error::NicError;

/// How long sysfs and netlink may disagree. The kernel needs milliseconds, and more on a busy
/// machine, because the steps in between take locks.
const AGREE_TIMEOUT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Returns the link of the netdev that sysfs has for a PCI function. `None`: sysfs has no netdev
/// for it.
///
/// # Errors
/// [`NicError::NetdevUnsettled`] when sysfs and netlink disagree for [`AGREE_TIMEOUT`].
pub(crate) fn find_link(
    sysfs: &Sysfs,
    netlink: &Netlink,
    pci: &str,
) -> Result<Option<Link>, Error> {
    find_link_within(sysfs, netlink, pci, AGREE_TIMEOUT)
}

fn find_link_within(
    sysfs: &Sysfs,
    netlink: &Netlink,
    pci: &str,
    timeout: Duration,
) -> Result<Option<Link>, Error> {
    let deadline = Instant::now() + timeout;
    loop {
        let Some((name, ifindex)) = sysfs.netdevs(pci)?.into_iter().next() else {
            return Ok(None);
        };
        if let Some(link) = netlink.link(ifindex)?.filter(|link| belongs_to(link, pci)) {
            return Ok(Some(link));
        }
        if Instant::now() >= deadline {
            let (pci, seconds) = (pci.to_owned(), timeout.as_secs());
            return Err(Error::Nic(NicError::NetdevUnsettled { pci, netdev: name, seconds }));
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// As [`Netlink::link`], for a netdev that should exist: waits until netlink finds it. `None`: it
/// does not within [`AGREE_TIMEOUT`].
pub(crate) fn wait_for_link(netlink: &Netlink, ifindex: u32) -> Result<Option<Link>, Error> {
    let deadline = Instant::now() + AGREE_TIMEOUT;
    loop {
        match netlink.link(ifindex)? {
            None if Instant::now() < deadline => thread::sleep(POLL_INTERVAL),
            found => return Ok(found),
        }
    }
}

/// The index may belong to another netdev by now. A link without a parent is a virtual one, which
/// only tests have below a PCI function.
fn belongs_to(link: &Link, pci: &str) -> bool {
    link.parent.as_deref().is_none_or(|parent| parent == pci)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const VF: &str = "0000:01:10.0";

    /// A folder shaped like /sys with one VF, with a netdev of this index.
    fn sysfs(root: &tempfile::TempDir, name: &str, ifindex: u32) -> Sysfs {
        let sysfs = Sysfs(root.path().to_owned());
        let netdev = sysfs.pci_device(VF).join("net").join(name);
        fs::create_dir_all(&netdev).unwrap();
        fs::write(netdev.join("ifindex"), format!("{ifindex}\n")).unwrap();
        sysfs
    }

    #[test]
    fn a_link_of_another_function_is_not_taken() {
        let link =
            |parent: Option<&str>| Link { parent: parent.map(str::to_owned), ..Link::default() };
        assert!(belongs_to(&link(Some(VF)), VF) && belongs_to(&link(None), VF));
        assert!(!belongs_to(&link(Some("0000:01:10.2")), VF));
    }

    #[test]
    fn no_netdev_in_sysfs_is_an_answer_at_once() {
        let root = tempfile::tempdir().unwrap();
        let found = find_link(&Sysfs(root.path().to_owned()), &Netlink::open().unwrap(), VF);
        assert!(found.unwrap().is_none());
    }

    #[test]
    fn a_netdev_that_netlink_never_finds_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let (sysfs, netlink) = (sysfs(&root, "v0", 999_999), Netlink::open().unwrap());
        let found = find_link_within(&sysfs, &netlink, VF, Duration::from_millis(50));
        let line = found.unwrap_err().line();
        assert!(line.starts_with("netdev v0 of 0000:01:10.0 is in sysfs"), "{line}");
    }

    /// These tests need root.
    mod in_a_netns {
        use super::*;
        use crate::kernel::in_a_netns::{ip, with_veths};

        const INDEX: u32 = 4711;

        /// Creates the netdev `v0` with the index [`INDEX`] a moment later, as a kernel that
        /// answers before the end of the registration.
        fn while_a_netdev_is_registered(test: impl FnOnce(&Netlink)) {
            let netlink = Netlink::open().unwrap();
            assert!(netlink.link(INDEX).unwrap().is_none());
            // A new thread is in the network namespace of the thread that created it.
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(100));
                    ip(&format!("link add v0 index {INDEX} type veth peer name v1"));
                });
                test(&netlink);
            });
        }

        #[test]
        fn a_netdev_is_found_although_sysfs_shows_it_first() {
            with_veths(|| {
                while_a_netdev_is_registered(|netlink| {
                    let root = tempfile::tempdir().unwrap();
                    let sysfs = sysfs(&root, "v0", INDEX);
                    let link = find_link(&sysfs, netlink, VF).unwrap().unwrap();
                    assert_eq!((link.name.as_str(), link.ifindex), ("v0", INDEX));
                });
            });
        }

        #[test]
        fn an_index_is_waited_for() {
            with_veths(|| {
                while_a_netdev_is_registered(|netlink| {
                    let link = wait_for_link(netlink, INDEX).unwrap().unwrap();
                    assert_eq!(link.name, "v0");
                });
            });
        }

        /// The driver was bound again between the read of sysfs and that of netlink.
        #[test]
        fn a_netdev_that_is_replaced_is_found_under_its_new_index() {
            with_veths(|| {
                let root = tempfile::tempdir().unwrap();
                let (sysfs, netlink) = (sysfs(&root, "old", 999_999), Netlink::open().unwrap());
                thread::scope(|scope| {
                    scope.spawn(|| {
                        thread::sleep(Duration::from_millis(100));
                        ip(&format!("link add v0 index {INDEX} type veth peer name v1"));
                        let text = root.path().join("text");
                        fs::write(&text, format!("{INDEX}\n")).unwrap();
                        fs::rename(text, sysfs.pci_device(VF).join("net/old/ifindex")).unwrap();
                    });
                    let link = find_link(&sysfs, &netlink, VF).unwrap().unwrap();
                    assert_eq!(link.name, "v0");
                });
            });
        }
    }
}
