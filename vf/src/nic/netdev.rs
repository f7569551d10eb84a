//! A free VF's netdev: what it looks like, and that one fresh from its driver looks like that again.
//!
//! A rebind makes a new netdev, so nothing of a container's can be on it. That is the kernel's promise; here it is held to it,
//! item by item, and what the host's operator had set on the free VF is given back.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::error::NetlinkError;
use crate::kernel::ethtool;
use crate::kernel::netdev_settings::NetdevSettings;
use crate::kernel::netlink::{Flags, Link, Netlink};

/// How long udev may take to name a new netdev and to write down how it did: tenths of a second, and many of those on a machine
/// that starts a crowd of containers.
pub(crate) const UDEV_TIMEOUT: Duration = Duration::from_secs(20);

impl NetdevSettings {
    /// The netdev as it is now. Its offloads are asked for by name, which udev may change at this moment.
    ///
    /// # Errors
    /// [`KernelError::Dirty`] when it is gone; [`KernelError::Link`] when the kernel does not say. A driver without offloads has none.
    pub(crate) fn read(netlink: &Netlink, vf: &str, ifindex: u32) -> Result<(Link, Self), Error> {
        let deadline = Instant::now() + UDEV_TIMEOUT;
        loop {
            let gone = || dirty(vf, "lost its interface while that was looked at");
            let link = netlink.link(ifindex)?.ok_or_else(gone)?;
            match Self::complete(&link) {
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

    /// The same, for whoever has just looked at the link.
    ///
    /// # Errors
    /// As [`NetdevSettings::read`].
    pub(crate) fn seen(netlink: &Netlink, vf: &str, link: &Link) -> Result<Self, Error> {
        match Self::complete(link) {
            Ok(netdev) => Ok(netdev),
            Err(_) => Ok(Self::read(netlink, vf, link.ifindex)?.1),
        }
    }

    fn complete(link: &Link) -> Result<Self, Errno> {
        let features = match ethtool::features(&link.name) {
            Err(Errno::EOPNOTSUPP) => Vec::new(),
            features => features?,
        };
        match is_named(link) {
            true => Ok(Self::of(link, features)),
            // They may be another's.
            false => Err(Errno::ENODEV),
        }
    }

    fn of(link: &Link, features: Vec<u32>) -> Self {
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

/// Makes a fresh netdev look as the VF's did when it was free, but for the offloads: see [`verify`].
///
/// # Errors
/// [`KernelError::Link`] when the kernel refuses to take it down, or its MTU. Whether all was done is [`verify`]'s to say.
pub(crate) fn restore(
    netlink: &Netlink,
    vf: &str,
    ifindex: u32,
    before: &NetdevSettings,
) -> Result<(), Error> {
    let Some(link) = netlink.link(ifindex)? else { return Err(dirty(vf, "vanished when bound")) };
    let failed = |action| {
        let object = format!("{} (VF {vf})", link.name);
        move |source: NetlinkError| Error::Kernel(KernelError::Link { action, object, source })
    };
    if link.flags != Flags::default() {
        // A fresh netdev is down; but a network manager may have taken to it at once.
        netlink.set_flags(ifindex, Flags::default()).map_err(failed("bring down"))?;
    }
    if link.mtu != before.mtu {
        netlink.set_mtu(ifindex, before.mtu).map_err(failed("set the MTU of"))?;
    }
    if link.txqueuelen != before.txqueuelen {
        netlink.set_txqueuelen(ifindex, before.txqueuelen).map_err(failed("set up"))?;
    }
    if link.alias != before.alias {
        netlink.set_alias(ifindex, &before.alias).map_err(failed("set the alias of"))?;
    }
    if link.name != before.name {
        // The name may be somebody else's by now, or udev's to give; a VF is no less clean under another.
        let _ = netlink.rename(ifindex, &before.name);
    }
    Ok(())
}

/// Gives the offloads back and looks at every item. Offloads are asked for by name (`SIOCETHTOOL`), and at this moment udev may be
/// giving another, so that they are asked for until they are there.
///
/// # Errors
/// [`KernelError::Dirty`], naming the first item that is not as it was. `given` is the name that the container had asked for.
pub(crate) fn verify(
    netlink: &Netlink,
    vf: &str,
    ifindex: u32,
    before: &NetdevSettings,
    given: &str,
) -> Result<(), Error> {
    let deadline = Instant::now() + UDEV_TIMEOUT;
    loop {
        let (link, have) = NetdevSettings::read(netlink, vf, ifindex)?;
        match difference(&link, &have, before, given, &udevs_names(ifindex)) {
            None => return Ok(()),
            Some(OFFLOADS) if Instant::now() < deadline => {
                if is_named(&link) {
                    let _ = ethtool::set_features(&link.name, &before.features);
                }
            }
            // udev gives other names before it says that it did.
            Some(ALTNAME) if Instant::now() < deadline => {}
            Some(what) => return Err(dirty(vf, what)),
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Whether the name still is this interface's, and not one that udev has given to another meanwhile.
fn is_named(link: &Link) -> bool {
    if_nametoindex(link.name.as_str()).is_ok_and(|ifindex| ifindex == link.ifindex)
}

const POLL_INTERVAL: Duration = Duration::from_millis(5);
const ALTNAME: &str = "has an alternative name that it did not have before";
const OFFLOADS: &str = "has other offloads than before";

/// What a container could have left behind.
fn difference(
    link: &Link,
    have: &NetdevSettings,
    before: &NetdevSettings,
    given: &str,
    udevs: &HashSet<String>,
) -> Option<&'static str> {
    // What the kernel gives to an interface once it has been up, if nobody asks for another.
    const USUAL: [&str; 6] = ["noop", "noqueue", "mq", "pfifo_fast", "fq_codel", "fq"];
    let known = |name: &String| before.altnames.contains(name) || udevs.contains(name);
    let usual = |qdisc: &str| USUAL.contains(&qdisc);
    let items = [
        (link.flags != Flags::default(), "is up or promiscuous"),
        (link.promiscuity != 0, "is promiscuous"),
        (link.allmulticast != 0, "receives all multicast"),
        (link.xdp, "still carries an XDP program"),
        (link.master, "has a master"),
        (have.name == given && before.name != given, "has its container's name"),
        (!have.altnames.iter().all(known), ALTNAME),
        (have.alias != before.alias, "has another alias than before"),
        (have.mtu != before.mtu, "has another MTU than before"),
        (have.txqueuelen != before.txqueuelen, "has another queue length than before"),
        (have.qdisc != before.qdisc && !usual(&have.qdisc), "has another qdisc than before"),
        (!before.features.is_empty() && have.features != before.features, OFFLOADS),
    ];
    items.into_iter().find(|(wrong, _)| *wrong).map(|(_, what)| what)
}

/// Whether udev is through with a new netdev, so that its name is the one it will keep. Without udev that is so at once.
pub(crate) fn has_udev_named(ifindex: u32) -> bool {
    Path::new(&format!("/run/udev/data/n{ifindex}")).exists()
        || !Path::new("/run/udev/control").exists()
}

/// The names that udev found for a netdev (`systemd.net-naming-scheme(7)`), from its database.
fn udevs_names(ifindex: u32) -> HashSet<String> {
    let text = fs::read_to_string(format!("/run/udev/data/n{ifindex}")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("E:ID_NET_NAME")?.split_once('='))
        .map(|(_, name)| name.to_owned())
        .collect()
}

fn dirty(vf: &str, what: &'static str) -> Error {
    Error::Kernel(KernelError::Dirty { vf: vf.to_owned(), what })
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
        NetdevSettings::of(&link(), vec![3, 1])
    }

    fn judged(link: &Link) -> Option<&'static str> {
        let have = NetdevSettings::of(link, vec![3, 1]);
        difference(link, &have, &before(), "mon0", &HashSet::from(["enx1".to_owned()]))
    }

    #[test]
    fn what_is_as_before_is_clean() {
        assert_eq!(judged(&link()), None);
        assert_eq!(judged(&Link { altnames: vec!["enx1".into()], ..link() }), None);
        assert_eq!(judged(&Link { name: "eth7".into(), qdisc: "mq".into(), ..link() }), None);
    }

    #[test]
    fn every_item_of_the_scrub_list_is_seen() {
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
            assert!(judged(&dirty).is_some(), "{dirty:?}");
        }
        let fewer = NetdevSettings { features: vec![1], ..before() };
        assert_eq!(difference(&link(), &fewer, &before(), "mon0", &HashSet::new()), Some(OFFLOADS));
    }
}
