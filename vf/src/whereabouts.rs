//! Where a VF's netdev is: at home, in a namespace that some process, mount or descriptor keeps alive, or nowhere.
//!
//! By PCI address (`IFLA_PARENT_DEV_NAME`), since a container may have renamed it and moved it on.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, NetnsId, cookie};
use crate::kernel::sysfs::Sysfs;

#[derive(Debug)]
pub(crate) enum Whereabouts {
    /// In the host's namespace.
    Home,
    Away {
        /// Of the namespace: see [`crate::kernel::netns::cookie`].
        cookie: u64,
        /// Of its interface, there.
        name: String,
        processes: Vec<i32>,
    },
    /// It has no netdev, or one in a namespace that nothing reaches any more: that namespace is being taken down.
    Nowhere,
}

/// # Errors
/// When a namespace cannot be looked into and the netdev is in no other: "not there" may cost a container its life, and must not
/// come from an error.
pub(crate) fn find(sysfs: &Sysfs, vf: &str, likely: NetnsId) -> Result<Whereabouts, Error> {
    if !sysfs.surely_netdevs(vf)?.is_empty() {
        return Ok(Whereabouts::Home);
    }
    if !sysfs.surely_has_driver(vf)? {
        return Ok(Whereabouts::Nowhere);
    }
    let mut search = Search::new(vf, likely)?;
    if let Some(away) = search.among(of_processes()) {
        return Ok(away);
    }
    // Each looks at more files than the one before, and is asked only if that one did not know the VF.
    if let Some(away) = search.among(of_mounts()).or_else(|| search.among(of_descriptors())) {
        return Ok(away);
    }
    search.end()
}

struct Search {
    vf: String,
    likely: NetnsId,
    looked: BTreeSet<NetnsId>,
    /// Why one could not be looked into.
    unseen: Option<Error>,
}

impl Search {
    fn new(vf: &str, likely: NetnsId) -> Result<Self, Error> {
        let looked = BTreeSet::from([Netns::own()?.id]);
        Ok(Self { vf: vf.to_owned(), likely, looked, unseen: None })
    }

    /// In those in which it has not been looked for yet.
    fn among(&mut self, namespaces: Namespaces) -> Option<Whereabouts> {
        let mut all: Vec<_> = namespaces.into_iter().collect();
        // Where it should be, first.
        all.sort_by_key(|(id, _)| *id != self.likely);
        for (id, keepers) in all {
            if self.looked.contains(&id) {
                continue;
            }
            let Some(netns) = keepers.open(id) else { continue };
            self.looked.insert(id);
            match netns.inside(|| Ok((Netlink::open()?.link_of(&self.vf)?, cookie()?))) {
                Ok((Some(link), cookie)) => {
                    let name = link.name;
                    return Some(Whereabouts::Away { cookie, name, processes: keepers.processes });
                }
                Ok((None, _)) => {}
                Err(error) => drop(self.unseen.get_or_insert(error)),
            }
        }
        None
    }

    /// It is in none.
    fn end(self) -> Result<Whereabouts, Error> {
        self.unseen.map_or(Ok(Whereabouts::Nowhere), Err)
    }
}

/// What keeps a namespace alive.
#[derive(Default)]
struct Keepers {
    processes: Vec<i32>,
    /// Where it can be opened, apart from those.
    places: Vec<PathBuf>,
}

type Namespaces = BTreeMap<NetnsId, Keepers>;

impl Keepers {
    /// By the first of them that has not gone meanwhile.
    fn open(&self, id: NetnsId) -> Option<Netns> {
        let processes = self.processes.iter().map(|pid| of(*pid, "ns/net"));
        let mut paths = processes.chain(self.places.iter().cloned());
        paths.find_map(|path| Netns::open(&path).ok().filter(|netns| netns.id == id))
    }
}

fn of(pid: i32, what: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{what}"))
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// `None` for what has gone meanwhile.
fn id(path: &Path) -> Option<NetnsId> {
    let metadata = fs::metadata(path).ok()?;
    Some(NetnsId { dev: metadata.dev(), ino: metadata.ino() })
}

fn of_processes() -> Namespaces {
    let mut found = Namespaces::new();
    for pid in processes() {
        if let Some(id) = id(&of(pid, "ns/net")) {
            found.entry(id).or_default().processes.push(pid);
        }
    }
    found
}

/// Mounted in our own mount namespace, as `ip netns` does it. What a container has mounted is not looked for: the way there leads
/// through file systems of its choice, and one that does not answer (FUSE) would keep us for ever, with a PF's lock held.
fn of_mounts() -> Namespaces {
    let mut found = Namespaces::new();
    for place in mounted(&fs::read("/proc/self/mountinfo").unwrap_or_default()) {
        if let Some(id) = id(&place) {
            found.entry(id).or_default().places.push(place);
        }
    }
    found
}

/// Where namespaces are mounted (`proc_pid_mountinfo(5)`: fields 4, 5 and, after the dash, 9).
fn mounted(text: &[u8]) -> Vec<PathBuf> {
    let places = text.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let (root, place) = (fields.nth(3)?, fields.next()?);
        let of_net = root.starts_with(b"net:") && fields.any(|field| field == b"nsfs");
        of_net.then(|| PathBuf::from(OsString::from_vec(unescaped(place))))
    });
    places.collect()
}

/// Blanks, line ends and backslashes are octal there (`show_mountinfo`, `fs/proc_namespace.c`).
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| after.get(..3)).flatten();
        let octal = octal.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = &after[3..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

/// Held open by somebody other than us.
fn of_descriptors() -> Namespaces {
    let mut found = Namespaces::new();
    let own = std::process::id();
    for pid in processes().filter(|pid| u32::try_from(*pid) != Ok(own)) {
        // Told apart by their names: to ask what is behind a descriptor may mean to ask a server that does not answer.
        let open = fs::read_dir(of(pid, "fd")).into_iter().flatten().filter_map(Result::ok);
        for place in open.map(|entry| entry.path()) {
            let named = fs::read_link(&place).unwrap_or_default();
            if !named.to_string_lossy().starts_with("net:[") {
                continue;
            }
            // It may be something else by now, which only this knows to tell safely.
            if let Ok(netns) = Netns::open(&place) {
                found.entry(netns.id).or_default().places.push(place);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_namespaces_are_told_from_other_mounts() {
        let text = b"22 1 0:21 / /proc rw - proc proc rw
30 22 0:4 net:[4026532270] /run/netns/a rw shared:9 - nsfs nsfs rw
31 22 0:4 mnt:[4026532271] /run/mnt rw - nsfs nsfs rw
32 22 0:5 net: /tmp/x rw - tmpfs tmpfs rw
33 22 0:4 net:[4026532272] /a\\040b\\134c rw - nsfs nsfs rw
broken
";
        assert_eq!(mounted(text), [Path::new("/run/netns/a"), Path::new("/a b\\c")]);
    }

    #[test]
    fn a_path_is_read_as_it_was_before_the_kernel_wrote_it() {
        for (written, read) in [
            (&b"/a\\040b"[..], &b"/a b"[..]),
            (b"/a\\", b"/a\\"),
            (b"/a\\09x", b"/a\\09x"),
            (b"/\\777", b"/\\777"),
        ] {
            assert_eq!(unescaped(written), read);
        }
    }
}
