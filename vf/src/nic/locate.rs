//! Where a VF's netdev is: at home, in a namespace that some process, mount or descriptor keeps alive, or nowhere.
//!
//! By PCI address (`IFLA_PARENT_DEV_NAME`), since a container may have renamed it and moved it on.

mod mounted;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use self::mounted::mounted;
use crate::error::Error;
use crate::kernel::error::errno_of;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, NetnsId, cookie};
use crate::kernel::sysfs::Sysfs;

#[derive(Debug)]
pub(crate) enum Location {
    /// In the host's namespace.
    HostNetns,
    OtherNetns(OtherNetns),
    /// It has no netdev, or one in a namespace that nothing reaches any more: that namespace is being taken down.
    Missing,
}

/// In another one.
#[derive(Debug)]
pub(crate) struct OtherNetns {
    /// Of the namespace: see [`crate::kernel::netns::cookie`].
    pub(crate) cookie: u64,
    /// Of its interface, there.
    pub(crate) name: String,
    /// Who lives there.
    pub(crate) processes: Vec<i32>,
    /// Who lives elsewhere and keeps it open, if that is how it was found.
    pub(crate) holders: Vec<i32>,
}

/// # Errors
/// When something that may keep a namespace cannot be looked at, or a namespace not be looked into, and the netdev is in no other:
/// "not there" may cost a container its life, and must not come from an error.
pub(crate) fn locate(sysfs: &Sysfs, vf: &str, likely: NetnsId) -> Result<Location, Error> {
    if !sysfs.netdevs(vf)?.is_empty() {
        return Ok(Location::HostNetns);
    }
    if !sysfs.has_driver(vf)? {
        return Ok(Location::Missing);
    }
    let mut search = Search::new(vf, likely)?;
    // Each looks at more files than the one before, and is asked only if that one did not know the VF.
    for ask in [Search::of_processes, Search::of_mounts, Search::of_descriptors, Search::of_threads]
    {
        let namespaces = ask(&mut search);
        if let Some(other) = search.among(namespaces) {
            return Ok(Location::OtherNetns(other));
        }
    }
    search.unseen.map_or(Ok(Location::Missing), Err)
}

struct Search {
    vf: String,
    likely: NetnsId,
    looked: BTreeSet<NetnsId>,
    /// Why something could not be looked at or into.
    unseen: Option<Error>,
}

/// What keeps a namespace alive.
#[derive(Default)]
struct Keepers {
    processes: Vec<i32>,
    holders: Vec<i32>,
    /// Where it can be opened, apart from the processes.
    places: Vec<PathBuf>,
}

type Namespaces = BTreeMap<NetnsId, Keepers>;

impl Search {
    fn new(vf: &str, likely: NetnsId) -> Result<Self, Error> {
        let looked = BTreeSet::from([Netns::own()?.id]);
        Ok(Self { vf: vf.to_owned(), likely, looked, unseen: None })
    }

    /// In those in which it has not been looked for yet.
    fn among(&mut self, namespaces: Namespaces) -> Option<OtherNetns> {
        let mut all: Vec<_> = namespaces.into_iter().collect();
        // Where it should be, first.
        all.sort_by_key(|(id, _)| *id != self.likely);
        for (id, keepers) in all {
            if self.looked.contains(&id) {
                continue;
            }
            let Some(netns) = self.open(&keepers, id) else { continue };
            self.looked.insert(id);
            match netns.inside(|| Ok((Netlink::open()?.link_of(&self.vf)?, cookie()?))) {
                Ok((Some(link), cookie)) => {
                    let Keepers { processes, holders, .. } = keepers;
                    return Some(OtherNetns { cookie, name: link.name, processes, holders });
                }
                Ok((None, _)) => {}
                Err(error) => self.missed(error),
            }
        }
        None
    }

    /// By the first that has not gone meanwhile.
    fn open(&mut self, keepers: &Keepers, id: NetnsId) -> Option<Netns> {
        let processes = keepers.processes.iter().map(|pid| of(*pid, "ns/net"));
        for path in processes.chain(keepers.places.iter().cloned()) {
            match Netns::open(&path) {
                Ok(netns) if netns.id == id => return Some(netns),
                Err(error) if self.id(&path) == Some(id) => self.missed(error),
                // Something else is there by now, or nothing.
                _ => {}
            }
        }
        None
    }

    fn missed(&mut self, error: Error) {
        self.unseen.get_or_insert(error);
    }

    /// An error that tells of the file says that there is nothing to be found: it has gone, or has a name that no namespace has. Only
    /// what tells of us leaves it unknown.
    fn known<T>(&mut self, path: &Path, read: io::Result<T>) -> Option<T> {
        let error = match read {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        if let Some(Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE) = errno_of(&error) {
            self.missed(Error::file("look at", path)(error));
        }
        None
    }

    fn id(&mut self, path: &Path) -> Option<NetnsId> {
        let metadata = self.known(path, fs::metadata(path))?;
        Some(NetnsId { dev: metadata.dev(), ino: metadata.ino() })
    }

    fn entries(&mut self, folder: &Path) -> Vec<PathBuf> {
        let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
        self.known(folder, list()).unwrap_or_default()
    }

    fn processes(&mut self) -> Vec<i32> {
        self.entries(Path::new("/proc")).iter().filter_map(|path| number(path)).collect()
    }

    fn of_processes(&mut self) -> Namespaces {
        let mut found = Namespaces::new();
        for pid in self.processes() {
            if let Some(id) = self.id(&of(pid, "ns/net")) {
                found.entry(id).or_default().processes.push(pid);
            }
        }
        found
    }

    /// Mounted in our own mount namespace, as `ip netns` does it. What a container has mounted is not looked for: the way there leads
    /// through file systems of its choice, and one that does not answer (FUSE) would keep us for ever, with a PF's lock held.
    fn of_mounts(&mut self) -> Namespaces {
        let path = Path::new("/proc/self/mountinfo");
        let text = self.known(path, fs::read(path)).unwrap_or_default();
        let mut found = Namespaces::new();
        for place in mounted(&text) {
            if let Some(id) = self.id(&place) {
                found.entry(id).or_default().places.push(place);
            }
        }
        found
    }

    /// Held open by somebody other than us.
    fn of_descriptors(&mut self) -> Namespaces {
        let mut found = Namespaces::new();
        let own = std::process::id();
        for pid in self.processes().into_iter().filter(|pid| u32::try_from(*pid) != Ok(own)) {
            self.held(pid, &of(pid, "fd"), &mut found);
        }
        found
    }

    fn held(&mut self, pid: i32, folder: &Path, found: &mut Namespaces) {
        // Told apart by their names: to ask what is behind a descriptor may mean to ask a server that does not answer.
        for place in self.entries(folder) {
            let named = self.known(&place, fs::read_link(&place)).unwrap_or_default();
            if !named.to_string_lossy().starts_with("net:[") {
                continue;
            }
            // It may be something else by now, which only this knows to tell safely.
            match Netns::open(&place) {
                Ok(netns) => {
                    let keepers = found.entry(netns.id).or_default();
                    keepers.holders.push(pid);
                    keepers.places.push(place);
                }
                Err(error) if fs::read_link(&place).is_ok_and(|now| now == named) => {
                    self.missed(error)
                }
                Err(_) => {}
            }
        }
    }

    /// A thread may have entered a namespace alone; and of a process whose first thread has ended, only the others tell where it lives and
    /// what it has open.
    fn of_threads(&mut self) -> Namespaces {
        let mut found = Namespaces::new();
        for pid in self.processes() {
            let headless = self.id(&of(pid, "ns/net")).is_none();
            for thread in self.entries(&of(pid, "task")) {
                if number(&thread) == Some(pid) {
                    continue;
                }
                let place = thread.join("ns/net");
                if let Some(id) = self.id(&place) {
                    let keepers = found.entry(id).or_default();
                    keepers.processes.push(pid);
                    keepers.places.push(place);
                }
                if headless {
                    self.held(pid, &thread.join("fd"), &mut found);
                }
            }
        }
        found
    }
}

fn of(pid: i32, what: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{what}"))
}

fn number(path: &Path) -> Option<i32> {
    path.file_name()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    fn search() -> Search {
        Search::new("0000:01:10.0", NetnsId::own().unwrap()).unwrap()
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_absent() {
        let missed = |errno: i32| {
            let mut search = search();
            let failed = Err::<(), _>(io::Error::from_raw_os_error(errno));
            assert!(search.known(Path::new("/proc/1/ns/net"), failed).is_none());
            search.unseen.is_some()
        };
        for errno in [nix::libc::ENOMEM, nix::libc::EMFILE] {
            assert!(missed(errno), "{errno}");
        }
        // A process that goes at that moment may not be looked at (`proc_ns_get_link`, `fs/proc/namespaces.c`); and a container may open
        // what is too deep to have a name.
        for errno in [nix::libc::ENOENT, nix::libc::EACCES, nix::libc::ENAMETOOLONG] {
            assert!(!missed(errno), "{errno}");
        }
        let mut search = search();
        let here = NetnsId::own().unwrap();
        let keepers =
            Keepers { places: vec![PathBuf::from("/proc/self/maps")], ..Keepers::default() };
        assert!(search.open(&keepers, here).is_none() && search.unseen.is_none());
    }

    mod in_a_netns {
        use super::*;

        #[test]
        fn a_thread_that_has_entered_one_alone_is_found() {
            let (tell, told) = channel();
            let (end, ended) = channel::<()>();
            let thread = thread::spawn(move || {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                tell.send(NetnsId::own().unwrap()).unwrap();
                let _ = ended.recv();
            });
            let there = told.recv().unwrap();
            let mut search = search();
            assert!(!search.of_processes().contains_key(&there));
            let found = search.of_threads();
            let own = i32::try_from(std::process::id()).unwrap();
            assert_eq!(found[&there].processes, [own]);
            assert_eq!(search.open(&found[&there], there).unwrap().id, there);
            assert!(search.unseen.is_none(), "{:?}", search.unseen);
            drop(end);
            thread.join().unwrap();
        }
    }
}
