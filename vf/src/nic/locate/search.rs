//! The search for a VF's netdev in the network namespaces that processes, mounts and descriptors
//! keep alive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::mountinfo::netns_mounts;
use crate::error::Error;
use crate::kernel::error::errno_of;
use crate::kernel::netlink::Netlink;
use crate::kernel::netns::{Netns, NetnsId, cookie};

/// A netdev in a network namespace other than the host netns.
#[derive(Debug)]
pub(crate) struct OtherNetns {
    /// Cookie of the namespace: see [`crate::kernel::netns::cookie`].
    pub(crate) cookie: u64,
    /// Name of the netdev inside the namespace.
    pub(crate) name: String,
    /// Processes that run in the namespace.
    pub(crate) processes: Vec<i32>,
    /// Processes that keep the namespace open by a descriptor. Empty if the search did not need
    /// descriptors.
    pub(crate) holders: Vec<i32>,
}

/// A search for one VF.
///
/// Each of the methods [`by_process`](Self::by_process), `by_mount`, `by_descriptor` and
/// `by_thread` lists network namespaces; [`find_in`](Self::find_in) searches them.
pub(super) struct Search {
    vf: String,
    likely: NetnsId,
    /// The namespaces that do not hold the netdev.
    searched: BTreeSet<NetnsId>,
    /// The first error that kept a file or a namespace from being examined.
    pub(super) failure: Option<Error>,
}

/// What keeps a namespace alive.
#[derive(Default)]
pub(super) struct Keepers {
    processes: Vec<i32>,
    holders: Vec<i32>,
    /// Paths that open the namespace, besides `/proc/PID/ns/net` of the processes.
    paths: Vec<PathBuf>,
}

pub(super) type Namespaces = BTreeMap<NetnsId, Keepers>;

impl Search {
    pub(super) fn new(vf: &str, likely: NetnsId) -> Result<Self, Error> {
        let searched = BTreeSet::from([Netns::own()?.id]);
        Ok(Self { vf: vf.to_owned(), likely, searched, failure: None })
    }

    /// Searches the namespaces that were not searched yet for the netdev.
    pub(super) fn find_in(&mut self, namespaces: Namespaces) -> Option<OtherNetns> {
        let mut candidates: Vec<_> = namespaces.into_iter().collect();
        candidates.sort_by_key(|(id, _)| *id != self.likely);
        for (id, keepers) in candidates {
            if self.searched.contains(&id) {
                continue;
            }
            let Some(netns) = self.open(&keepers, id) else { continue };
            self.searched.insert(id);
            match netns.inside(|| Ok((Netlink::open()?.link_by_pci(&self.vf)?, cookie()?))) {
                Ok((Some(link), cookie)) => {
                    let Keepers { processes, holders, .. } = keepers;
                    return Some(OtherNetns { cookie, name: link.name, processes, holders });
                }
                Ok((None, _)) => {}
                Err(error) => self.note_failure(error),
            }
        }
        None
    }

    /// Opens the namespace by the first path that still leads to it.
    fn open(&mut self, keepers: &Keepers, id: NetnsId) -> Option<Netns> {
        let by_process = keepers.processes.iter().map(|pid| proc_path(*pid, "ns/net"));
        for path in by_process.chain(keepers.paths.iter().cloned()) {
            match Netns::open(&path) {
                Ok(netns) if netns.id == id => return Some(netns),
                Err(error) if self.id(&path) == Some(id) => self.note_failure(error),
                // The path is gone or leads elsewhere by now.
                _ => {}
            }
        }
        None
    }

    fn note_failure(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Returns what was read, or `None` if the file holds no namespace for the search.
    ///
    /// Most errors concern the file: it is gone, or its name is not the name of a namespace. Only a
    /// lack of memory or descriptors in this process leaves the answer unknown, so only that is
    /// noted as a failure.
    fn read_or_note<T>(&mut self, path: &Path, read: io::Result<T>) -> Option<T> {
        let error = match read {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        if let Some(Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE) = errno_of(&error) {
            self.note_failure(Error::file("examine", path)(error));
        }
        None
    }

    fn id(&mut self, path: &Path) -> Option<NetnsId> {
        let metadata = self.read_or_note(path, fs::metadata(path))?;
        Some(NetnsId { dev: metadata.dev(), ino: metadata.ino() })
    }

    fn entries(&mut self, folder: &Path) -> Vec<PathBuf> {
        let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect();
        self.read_or_note(folder, list()).unwrap_or_default()
    }

    fn processes(&mut self) -> Vec<i32> {
        self.entries(Path::new("/proc")).iter().filter_map(|path| number(path)).collect()
    }

    pub(super) fn by_process(&mut self) -> Namespaces {
        let mut found = Namespaces::new();
        for pid in self.processes() {
            if let Some(id) = self.id(&proc_path(pid, "ns/net")) {
                found.entry(id).or_default().processes.push(pid);
            }
        }
        found
    }

    /// Lists the namespaces that are mounted in the mount namespace of this process, as `ip netns`
    /// does it.
    ///
    /// The search ignores mounts inside containers. Their paths lead through file systems of the
    /// container's choice, and one that does not answer (FUSE) would block runvf without end while
    /// it holds a PF's lock.
    pub(super) fn by_mount(&mut self) -> Namespaces {
        let path = Path::new("/proc/self/mountinfo");
        let text = self.read_or_note(path, fs::read(path)).unwrap_or_default();
        let mut found = Namespaces::new();
        for path in netns_mounts(&text) {
            if let Some(id) = self.id(&path) {
                found.entry(id).or_default().paths.push(path);
            }
        }
        found
    }

    /// Lists the namespaces that other processes hold open.
    pub(super) fn by_descriptor(&mut self) -> Namespaces {
        let mut found = Namespaces::new();
        let own = std::process::id();
        for pid in self.processes().into_iter().filter(|pid| u32::try_from(*pid) != Ok(own)) {
            self.add_descriptors(pid, &proc_path(pid, "fd"), &mut found);
        }
        found
    }

    /// Adds the namespaces behind the descriptors in a folder `/proc/PID/fd`.
    fn add_descriptors(&mut self, pid: i32, folder: &Path, found: &mut Namespaces) {
        // The link's text tells a namespace from other files. stat(2) on any descriptor could block
        // on a server (FUSE) that does not answer.
        for path in self.entries(folder) {
            let target = self.read_or_note(&path, fs::read_link(&path)).unwrap_or_default();
            if !target.to_string_lossy().starts_with("net:[") {
                continue;
            }
            // The descriptor may refer to another file by now. `Netns::open` checks that without
            // blocking.
            match Netns::open(&path) {
                Ok(netns) => {
                    let keepers = found.entry(netns.id).or_default();
                    keepers.holders.push(pid);
                    keepers.paths.push(path);
                }
                Err(error) if fs::read_link(&path).is_ok_and(|now| now == target) => {
                    self.note_failure(error)
                }
                Err(_) => {}
            }
        }
    }

    /// Lists the namespaces of threads. A single thread may have entered a namespace. If the main
    /// thread has exited, only the other threads show the namespace and the descriptors of the
    /// process.
    pub(super) fn by_thread(&mut self) -> Namespaces {
        let mut found = Namespaces::new();
        for pid in self.processes() {
            let main_thread_exited = self.id(&proc_path(pid, "ns/net")).is_none();
            for thread in self.entries(&proc_path(pid, "task")) {
                if number(&thread) == Some(pid) {
                    continue;
                }
                let path = thread.join("ns/net");
                if let Some(id) = self.id(&path) {
                    let keepers = found.entry(id).or_default();
                    keepers.processes.push(pid);
                    keepers.paths.push(path);
                }
                if main_thread_exited {
                    self.add_descriptors(pid, &thread.join("fd"), &mut found);
                }
            }
        }
        found
    }
}

fn proc_path(pid: i32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// Parses the last component of a path as a pid.
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
    fn an_unexamined_namespace_does_not_count_as_empty() {
        let is_noted = |errno: i32| {
            let mut search = search();
            let failed = Err::<(), _>(io::Error::from_raw_os_error(errno));
            assert!(search.read_or_note(Path::new("/proc/1/ns/net"), failed).is_none());
            search.failure.is_some()
        };
        for errno in [nix::libc::ENOMEM, nix::libc::EMFILE] {
            assert!(is_noted(errno), "{errno}");
        }
        // A process that exits at that moment gives EACCES (`proc_ns_get_link`,
        // `fs/proc/namespaces.c`). A container may open a file with a path that is too long to
        // read.
        for errno in [nix::libc::ENOENT, nix::libc::EACCES, nix::libc::ENAMETOOLONG] {
            assert!(!is_noted(errno), "{errno}");
        }
        let mut search = search();
        let here = NetnsId::own().unwrap();
        let keepers =
            Keepers { paths: vec![PathBuf::from("/proc/self/maps")], ..Keepers::default() };
        assert!(search.open(&keepers, here).is_none() && search.failure.is_none());
    }

    /// These tests need root.
    mod in_a_netns {
        use super::*;

        #[test]
        fn the_netns_of_a_single_thread_is_found() {
            let (send_id, receive_id) = channel();
            let (stop, stopped) = channel::<()>();
            let thread = thread::spawn(move || {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                send_id.send(NetnsId::own().unwrap()).unwrap();
                let _ = stopped.recv();
            });
            let netns = receive_id.recv().unwrap();
            let mut search = search();
            assert!(!search.by_process().contains_key(&netns));
            let found = search.by_thread();
            let own = i32::try_from(std::process::id()).unwrap();
            assert_eq!(found[&netns].processes, [own]);
            assert_eq!(search.open(&found[&netns], netns).unwrap().id, netns);
            assert!(search.failure.is_none(), "{:?}", search.failure);
            drop(stop);
            thread.join().unwrap();
        }
    }
}
