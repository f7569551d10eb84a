//! Where a VF's netdev is: at home, in a namespace that some process or mount keeps alive, or nowhere.
//!
//! By PCI address (`IFLA_PARENT_DEV_NAME`), since a container may have renamed it and moved it on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::netns::{Netns, NetnsId};
use crate::kernel::sysfs::Sysfs;

#[derive(Debug)]
pub(crate) enum Whereabouts {
    /// In the host's namespace.
    Home,
    Away {
        netns: NetnsId,
        link: Link,
        processes: Vec<i32>,
    },
    /// It has no netdev, or one in a namespace that nothing reaches any more: that namespace is being taken down.
    Nowhere,
}

/// # Errors
/// When the host's own namespace cannot be told. A namespace that cannot be entered is passed over: it is about to go.
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
    for (id, Keepers { path, processes }) in all {
        let Ok(netns) = Netns::open(&path) else { continue };
        if netns.id != id {
            continue;
        }
        if let Ok(Some(link)) = netns.inside(|| Netlink::open()?.link_of(vf)) {
            return Ok(Whereabouts::Away { netns: id, link, processes });
        }
    }
    Ok(Whereabouts::Nowhere)
}

#[derive(Default)]
struct Keepers {
    path: PathBuf,
    processes: Vec<i32>,
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
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        // None for a kernel thread's or one that has ended.
        if let Some(id) = id(&path) {
            let keepers = found.entry(id).or_insert_with(|| Keepers { path, ..Keepers::default() });
            keepers.processes.push(pid);
        }
    }
    for path in mounted() {
        if let Some(id) = id(&path) {
            found.entry(id).or_insert_with(|| Keepers { path, ..Keepers::default() });
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
