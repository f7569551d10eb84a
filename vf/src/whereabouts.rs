//! Where a VF's netdev is: at home, in a namespace that some process or mount keeps alive, or nowhere.
//!
//! By PCI address (`IFLA_PARENT_DEV_NAME`), since a container may have renamed it and moved it on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::netns::{Netns, NetnsId, cookie};
use crate::kernel::sysfs::Sysfs;

#[derive(Debug)]
pub(crate) enum Whereabouts {
    /// In the host's namespace.
    Home,
    Away {
        /// Of the namespace: see [`crate::kernel::netns::cookie`].
        cookie: u64,
        link: Link,
        processes: Vec<i32>,
    },
    /// It has no netdev, or one in a namespace that nothing reaches any more: that namespace is being taken down.
    Nowhere,
}

/// # Errors
/// When a namespace cannot be looked into and the netdev is in no other: "not there" may cost a container its life, and must not
/// come from an error.
pub(crate) fn find(sysfs: &Sysfs, vf: &str, likely: NetnsId) -> Result<Whereabouts, Error> {
    if !sysfs.netdevs(vf).is_empty() {
        return Ok(Whereabouts::Home);
    }
    if sysfs.driver(vf).is_none() {
        return Ok(Whereabouts::Nowhere);
    }
    let own = Netns::own()?.id;
    let mut all: Vec<_> = namespaces().into_iter().filter(|(id, _)| *id != own).collect();
    // Where it should be, first.
    all.sort_by_key(|(id, _)| *id != likely);
    let mut unseen = None;
    for (id, keepers) in all {
        let Some(netns) = keepers.open(id) else { continue };
        match netns.inside(|| Ok((Netlink::open()?.link_of(vf)?, cookie()?))) {
            Ok((Some(link), cookie)) => {
                return Ok(Whereabouts::Away { cookie, link, processes: keepers.processes });
            }
            Ok((None, _)) => {}
            Err(error) => drop(unseen.get_or_insert(error)),
        }
    }
    unseen.map_or(Ok(Whereabouts::Nowhere), Err)
}

/// What keeps a namespace alive.
#[derive(Default)]
struct Keepers {
    processes: Vec<i32>,
    mounts: Vec<PathBuf>,
}

impl Keepers {
    /// By the first of them that has not gone meanwhile.
    fn open(&self, id: NetnsId) -> Option<Netns> {
        let processes = self.processes.iter().map(|pid| namespace_of(*pid));
        let mut paths = processes.chain(self.mounts.iter().cloned());
        paths.find_map(|path| Netns::open(&path).ok().filter(|netns| netns.id == id))
    }
}

fn namespace_of(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/net"))
}

/// Every network namespace with a process in it or mounted somewhere in sight.
fn namespaces() -> BTreeMap<NetnsId, Keepers> {
    let mut found: BTreeMap<NetnsId, Keepers> = BTreeMap::new();
    let id = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some(NetnsId { dev: metadata.dev(), ino: metadata.ino() })
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        // None for a process that has ended.
        if let Some(id) = id(&namespace_of(pid)) {
            found.entry(id).or_default().processes.push(pid);
        }
    }
    for path in mounted() {
        if let Some(id) = id(&path) {
            found.entry(id).or_default().mounts.push(path);
        }
    }
    found
}

/// Where namespaces are mounted (`proc_pid_mountinfo(5)`: fields 5 and, after the dash, 9).
fn mounted() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let places = text.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let (root, place) = (fields.nth(3)?, fields.next()?);
        (after.starts_with("nsfs ") && root.starts_with("net:")).then(|| PathBuf::from(place))
    });
    places.collect()
}
