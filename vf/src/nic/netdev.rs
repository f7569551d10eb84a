//! Reads, restores and verifies a VF's netdev.
//!
//! A rebind creates a new netdev, so the kernel promises that no setting of the container survives.
//! A release verifies this promise item by item. It also restores the settings that the operator
//! had made on the free VF.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

use crate::error::Error;
use crate::kernel::error::{KernelError, NetlinkError};
use crate::kernel::ethtool;
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netlink::{Flags, Link, Netlink};
use crate::nic::find_link::wait_for_link;

/// The longest wait for udev to name a new netdev and to write its database entry. udev needs
/// tenths of a second, and many times as long on a machine that starts many containers at once.
pub(crate) const UDEV_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest wait of an attach for udev to name a VF's new netdev. The attach holds the PF's lock
/// meanwhile.
const NAMING_TIMEOUT: Duration = Duration::from_secs(10);

impl NetdevSettings {
    /// Reads the netdev's current settings. Retries while udev renames the netdev, because the
    /// kernel finds offloads by name. The offloads are empty if the driver has none.
    ///
    /// # Errors
    /// [`KernelError::Dirty`] when the netdev is gone. [`KernelError::Link`] when the kernel does
    /// not answer.
    pub(crate) fn read(netlink: &Netlink, vf: &str, ifindex: u32) -> Result<(Link, Self), Error> {
        let deadline = Instant::now() + UDEV_TIMEOUT;
        loop {
            let gone = || dirty(vf, "lost its netdev during inspection");
            let link = wait_for_link(netlink, ifindex)?.ok_or_else(gone)?;
            match Self::with_offloads(&link) {
                Ok(netdev) => return Ok((link, netdev)),
                Err(Errno::ENODEV) if Instant::now() < deadline => {}
                Err(errno) => {
                    let (action, object) =
                        ("read the offloads of", format!("{} (VF {vf})", link.name));
                    return Err(Error::Kernel(KernelError::Link {
                        action,
                        object,
                        source: NetlinkError::Refused(errno),
                    }));
                }
            }
        }
    }

    /// As [`NetdevSettings::read`], for a caller that has just read the link.
    ///
    /// # Errors
    /// As [`NetdevSettings::read`].
    pub(crate) fn read_from_link(netlink: &Netlink, vf: &str, link: &Link) -> Result<Self, Error> {
        match Self::with_offloads(link) {
            Ok(netdev) => Ok(netdev),
            Err(_) => Ok(Self::read(netlink, vf, link.ifindex)?.1),
        }
    }

    /// As [`NetdevSettings::read_from_link`], for a netdev that may be new. Waits until udev has named
    /// it and applied its `.link` file (`systemd.link(5)`), but not longer than [`NAMING_TIMEOUT`].
    /// After that the name is empty, because udev may still give the netdev another name.
    ///
    /// # Errors
    /// As [`NetdevSettings::read`].
    pub(crate) fn read_once_named(netlink: &Netlink, vf: &str, link: &Link) -> Result<Self, Error> {
        if has_udev_named(link.ifindex) {
            return Self::read_from_link(netlink, vf, link);
        }
        let deadline = Instant::now() + NAMING_TIMEOUT;
        while !has_udev_named(link.ifindex) && Instant::now() < deadline {
            thread::sleep(POLL_INTERVAL);
        }
        let is_named = has_udev_named(link.ifindex);
        let (_, settings) = Self::read(netlink, vf, link.ifindex)?;
        Ok(if is_named { settings } else { Self { name: String::new(), ..settings } })
    }

    /// Reads the offloads that belong to a link. ENODEV: the netdev was renamed meanwhile.
    fn with_offloads(link: &Link) -> Result<Self, Errno> {
        let features = match ethtool::features(&link.name) {
            Err(Errno::EOPNOTSUPP) => Vec::new(),
            features => features?,
        };
        match is_named(link) {
            true => Ok(Self::new(link, features)),
            // The offloads may belong to another netdev that has this name now.
            false => Err(Errno::ENODEV),
        }
    }

    fn new(link: &Link, features: Vec<u32>) -> Self {
        Self {
            name: link.name.clone(),
            altnames: link.altnames.clone(),
            alias: link.alias.clone(),
            mtu: link.mtu,
            txqueuelen: link.txqueuelen,
            qdisc: link.qdisc.clone(),
            features,
        }
    }
}

/// Gives a new netdev the settings that it had while the VF was free, except the offloads: see
/// [`verify`].
///
/// # Errors
/// [`KernelError::Link`] when the kernel refuses a setting. A failed rename is ignored. [`verify`]
/// checks the result.
pub(crate) fn restore(
    netlink: &Netlink,
    vf: &str,
    ifindex: u32,
    before: &NetdevSettings,
) -> Result<(), Error> {
    let Some(link) = wait_for_link(netlink, ifindex)? else {
        return Err(dirty(vf, "lost its netdev right after the bind"));
    };
    let failed = |action| {
        let object = format!("{} (VF {vf})", link.name);
        move |source: NetlinkError| Error::Kernel(KernelError::Link { action, object, source })
    };
    if link.flags != Flags::default() {
        // A new netdev is down, but a network manager may have brought it up at once.
        netlink.set_flags(ifindex, Flags::default()).map_err(failed("bring down"))?;
    }
    if link.mtu != before.mtu {
        netlink.set_mtu(ifindex, before.mtu).map_err(failed("set the MTU of"))?;
    }
    if link.txqueuelen != before.txqueuelen {
        netlink
            .set_txqueuelen(ifindex, before.txqueuelen)
            .map_err(failed("set the queue length of"))?;
    }
    if link.alias != before.alias {
        netlink.set_alias(ifindex, &before.alias).map_err(failed("set the alias of"))?;
    }
    if !before.name.is_empty() && link.name != before.name {
        // Another netdev may have this name by now, or udev may choose the name. A VF is clean
        // under any name.
        let _ = netlink.rename(ifindex, &before.name);
    }
    Ok(())
}

/// Restores the offloads and checks every setting. Retries the offloads, because the kernel finds
/// the netdev by name (`SIOCETHTOOL`) and udev may be renaming it. `container_name` is the netdev's
/// name inside the container.
///
/// # Errors
/// [`KernelError::Dirty`] with the first setting that differs.
pub(crate) fn verify(
    netlink: &Netlink,
    vf: &str,
    ifindex: u32,
    before: &NetdevSettings,
    container_name: &str,
) -> Result<(), Error> {
    let deadline = Instant::now() + UDEV_TIMEOUT;
    loop {
        let (link, have) = NetdevSettings::read(netlink, vf, ifindex)?;
        match difference(&link, &have, before, container_name, &names_from_udev(ifindex)) {
            None => return Ok(()),
            Some(OFFLOADS) if Instant::now() < deadline => {
                if is_named(&link) {
                    let _ = ethtool::set_features(&link.name, &before.features);
                }
            }
            // udev adds alternative names before it writes them to its database.
            Some(ALTNAME) if Instant::now() < deadline => {}
            Some(problem) => return Err(dirty(vf, problem)),
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Whether the netdev still has this name. udev may have renamed it and given the name to another
/// netdev.
fn is_named(link: &Link) -> bool {
    if_nametoindex(link.name.as_str()).is_ok_and(|ifindex| ifindex == link.ifindex)
}

const POLL_INTERVAL: Duration = Duration::from_millis(5);
const ALTNAME: &str = "has an alternative name that it did not have before the claim";
const OFFLOADS: &str = "has other offloads than before the claim";

/// Returns the first setting that a container could have left on the netdev.
fn difference(
    link: &Link,
    have: &NetdevSettings,
    before: &NetdevSettings,
    container_name: &str,
    udev_names: &HashSet<String>,
) -> Option<&'static str> {
    // The qdiscs that the kernel assigns by itself. It may choose another one when the netdev first
    // comes up.
    const DEFAULT_QDISCS: [&str; 6] = ["noop", "noqueue", "mq", "pfifo_fast", "fq_codel", "fq"];
    let is_expected = |name: &String| before.altnames.contains(name) || udev_names.contains(name);
    let is_default = |qdisc: &str| DEFAULT_QDISCS.contains(&qdisc);
    let items = [
        (link.flags != Flags::default(), "is up or promiscuous"),
        (link.promiscuity != 0, "is promiscuous"),
        (link.allmulticast != 0, "receives all multicast"),
        (link.xdp, "still carries an XDP program"),
        (link.master, "has a master"),
        (
            have.name == container_name && before.name != container_name,
            "still has the name from its container",
        ),
        (!have.altnames.iter().all(is_expected), ALTNAME),
        (have.alias != before.alias, "has another alias than before the claim"),
        (have.mtu != before.mtu, "has another MTU than before the claim"),
        (have.txqueuelen != before.txqueuelen, "has another queue length than before the claim"),
        (
            have.qdisc != before.qdisc && !is_default(&have.qdisc),
            "has another qdisc than before the claim",
        ),
        (!before.features.is_empty() && have.features != before.features, OFFLOADS),
    ];
    items.into_iter().find(|(differs, _)| *differs).map(|(_, problem)| problem)
}

/// Whether udev has finished with a new netdev, so that its name is final. Always true on a host
/// without udev.
pub(crate) fn has_udev_named(ifindex: u32) -> bool {
    Path::new(&format!("/run/udev/data/n{ifindex}")).exists()
        || !Path::new("/run/udev/control").exists()
}

/// Reads the names that udev found for a netdev (`systemd.net-naming-scheme(7)`) from udev's
/// database.
fn names_from_udev(ifindex: u32) -> HashSet<String> {
    let text = fs::read_to_string(format!("/run/udev/data/n{ifindex}")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("E:ID_NET_NAME")?.split_once('='))
        .map(|(_, name)| name.to_owned())
        .collect()
}

fn dirty(vf: &str, problem: &'static str) -> Error {
    Error::Kernel(KernelError::Dirty { vf: vf.to_owned(), what: problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link {
            name: "v0".into(),
            mtu: 1500,
            txqueuelen: 1000,
            qdisc: "noop".into(),
            ..Link::default()
        }
    }

    fn before() -> NetdevSettings {
        NetdevSettings::new(&link(), vec![3, 1])
    }

    fn difference_of(link: &Link) -> Option<&'static str> {
        let have = NetdevSettings::new(link, vec![3, 1]);
        difference(link, &have, &before(), "mon0", &HashSet::from(["enx1".to_owned()]))
    }

    #[test]
    fn an_unchanged_netdev_is_clean() {
        assert_eq!(difference_of(&link()), None);
        assert_eq!(difference_of(&Link { altnames: vec!["enx1".into()], ..link() }), None);
        assert_eq!(
            difference_of(&Link { name: "eth7".into(), qdisc: "mq".into(), ..link() }),
            None
        );
    }

    #[test]
    fn every_changed_setting_is_found() {
        let up = Flags { up: true, ..Flags::default() };
        let promisc = Flags { promisc: true, ..Flags::default() };
        let allmulti = Flags { allmulti: true, ..Flags::default() };
        for dirty in [
            Link { flags: up, ..link() },
            Link { flags: promisc, ..link() },
            Link { flags: allmulti, ..link() },
            Link { promiscuity: 1, ..link() },
            Link { allmulticast: 1, ..link() },
            Link { xdp: true, ..link() },
            Link { master: true, ..link() },
            Link { name: "mon0".into(), ..link() },
            Link { altnames: vec!["evil0".into()], ..link() },
            Link { alias: "a".into(), ..link() },
            Link { mtu: 1300, ..link() },
            Link { txqueuelen: 5, ..link() },
            Link { qdisc: "netem".into(), ..link() },
        ] {
            assert!(difference_of(&dirty).is_some(), "{dirty:?}");
        }
        let fewer = NetdevSettings { features: vec![1], ..before() };
        assert_eq!(difference(&link(), &fewer, &before(), "mon0", &HashSet::new()), Some(OFFLOADS));
    }
}
