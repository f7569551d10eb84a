//! The search for a VF's netdev in the network namespaces that processes, mounts and descriptors
//! keep alive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::mountinfo::netns_mounts;
use crate::error::Error;
use crate::kernel::error::errno_of;
use crate::kernel::netns::{Netns, NetnsId, cookie};
use crate::kernel::netns_sysfs::NetnsSysfs;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::claim::Claim;

/// Between two checks during a step whether the netdev has returned to the host netns.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// A netdev in a network namespace other than the host netns.
#[derive(Debug)]
pub(crate) struct OtherNetns {
    /// Cookie of the namespace: see [`crate::kernel::netns::cookie`].
    pub(crate) cookie: u64,
    pub(crate) netns: Netns,
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
pub(super) struct Search<'a> {
    sysfs: &'a Sysfs,
    claim: &'a Claim,
    deadline: Instant,
    next_check: Instant,
    /// Whether the netdev has returned to the host netns meanwhile.
    has_returned: bool,
    /// Whether the search ended at the deadline.
    timed_out: bool,
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

/// The name of a VF's netdev in the network namespace of the calling thread.
pub(super) fn netdev_here(vf: &str) -> Result<Option<String>, Error> {
    let netdevs = NetnsSysfs::mount()?.sysfs.netdevs(vf)?;
    Ok(netdevs.into_iter().next().map(|(name, _)| name))
}

impl<'a> Search<'a> {
    pub(super) fn new(
        sysfs: &'a Sysfs,
        claim: &'a Claim,
        deadline: Instant,
    ) -> Result<Self, Error> {
        Ok(Self {
            sysfs,
            claim,
            deadline,
            next_check: Instant::now() + CHECK_INTERVAL,
            has_returned: false,
            timed_out: false,
            searched: BTreeSet::from([Netns::own()?.id]),
            failure: None,
        })
    }

    /// Whether the search must end: its time is over, or the netdev is in the host netns again.
    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        self.timed_out |= now >= self.deadline;
        if now >= self.next_check {
            self.next_check = now + CHECK_INTERVAL;
            self.has_returned |= !self.sysfs.netdevs_or_empty(&self.claim.vf).is_empty();
        }
        self.is_incomplete()
    }

    /// Whether a step has ended early, so that the netdev may be where the search did not look.
    pub(super) fn is_incomplete(&self) -> bool {
        self.timed_out || self.has_returned
    }

    /// Searches the namespaces that were not searched yet for the netdev.
    pub(super) fn find_in(&mut self, namespaces: Namespaces) -> Option<OtherNetns> {
        let mut candidates: Vec<_> = namespaces.into_iter().collect();
        candidates.sort_by_key(|(id, _)| *id != self.claim.netns.id);
        for (id, keepers) in candidates {
            if self.searched.contains(&id) {
                continue;
            }
            if self.is_over() {
                return None;
            }
            let Some(netns) = self.open(&keepers, id) else { continue };
            self.searched.insert(id);
            let vf = &self.claim.vf;
            match netns.inside(|| Ok((netdev_here(vf)?, cookie()?))) {
                Ok((Some(name), cookie)) => {
                    let Keepers { processes, holders, .. } = keepers;
                    return Some(OtherNetns { cookie, netns, name, processes, holders });
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

    /// Calls `handle` with each entry of a folder, until the search is over.
    fn for_each_entry(&mut self, folder: &Path, mut handle: impl FnMut(&mut Self, PathBuf)) {
        let Some(entries) = self.read_or_note(folder, fs::read_dir(folder)) else { return };
        for entry in entries {
            if self.is_over() {
                return;
            }
            if let Some(entry) = self.read_or_note(folder, entry) {
                handle(self, entry.path());
            }
        }
    }

    fn processes(&mut self) -> Vec<i32> {
        let mut found = Vec::new();
        self.for_each_entry(Path::new("/proc"), |_, path| found.extend(number(&path)));
        found
    }

    pub(super) fn by_process(&mut self) -> Namespaces {
        let mut found = Namespaces::new();
        for pid in self.processes() {
            if self.is_over() {
                break;
            }
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
        self.for_each_entry(folder, |search, path| {
            let target = search.read_or_note(&path, fs::read_link(&path)).unwrap_or_default();
            if !target.as_os_str().as_bytes().starts_with(b"net:[") {
                return;
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
                    search.note_failure(error)
                }
                Err(_) => {}
            }
        });
    }

    /// Lists the namespaces of threads. A single thread may have entered a namespace. If the main
    /// thread has exited, only the other threads show the namespace and the descriptors of the
    /// process.
    pub(super) fn by_thread(&mut self) -> Namespaces {
        let mut found = Namespaces::new();
        for pid in self.processes() {
            let main_thread_exited = self.id(&proc_path(pid, "ns/net")).is_none();
            self.for_each_entry(&proc_path(pid, "task"), |search, thread| {
                if number(&thread) == Some(pid) {
                    return;
                }
                let path = thread.join("ns/net");
                if let Some(id) = search.id(&path) {
                    let keepers = found.entry(id).or_default();
                    keepers.processes.push(pid);
                    keepers.paths.push(path);
                }
                if main_thread_exited {
                    search.add_descriptors(pid, &thread.join("fd"), &mut found);
                }
            });
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
    use crate::ledger::claim::tests::claim;

    /// Runs a test with a search for a VF that does not exist.
    fn with_search(test: impl FnOnce(&mut Search<'_>)) {
        let (sysfs, claim) = (Sysfs(PathBuf::from("/sys")), claim("0000:01:10.0", "n"));
        let deadline = Instant::now() + Duration::from_secs(60);
        test(&mut Search::new(&sysfs, &claim, deadline).unwrap());
    }

    #[test]
    fn an_unexamined_namespace_does_not_count_as_empty() {
        let is_noted = |errno: i32| {
            let mut is_noted = false;
            with_search(|search| {
                let failed = Err::<(), _>(io::Error::from_raw_os_error(errno));
                assert!(search.read_or_note(Path::new("/proc/1/ns/net"), failed).is_none());
                is_noted = search.failure.is_some();
            });
            is_noted
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
        let here = NetnsId::own().unwrap();
        let keepers =
            Keepers { paths: vec![PathBuf::from("/proc/self/maps")], ..Keepers::default() };
        with_search(|search| {
            assert!(search.open(&keepers, here).is_none() && search.failure.is_none());
        });
    }

    #[test]
    fn the_search_ends_when_the_netdev_returns_to_the_host_netns() {
        let root = tempfile::tempdir().unwrap();
        let (sysfs, claim) = (Sysfs(root.path().to_owned()), claim("0000:01:10.0", "n"));
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut search = Search::new(&sysfs, &claim, deadline).unwrap();
        search.next_check = Instant::now();
        assert!(!search.is_over() && !search.is_incomplete());
        let netdev = sysfs.pci_device("0000:01:10.0").join("net/v0");
        fs::create_dir_all(&netdev).unwrap();
        fs::write(netdev.join("ifindex"), "7\n").unwrap();
        search.next_check = Instant::now();
        assert!(search.is_over() && search.is_incomplete());
        assert!(search.by_process().is_empty() && search.by_descriptor().is_empty());
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
            with_search(|search| {
                assert!(!search.by_process().contains_key(&netns));
                let found = search.by_thread();
                let own = i32::try_from(std::process::id()).unwrap();
                assert_eq!(found[&netns].processes, [own]);
                assert_eq!(search.open(&found[&netns], netns).unwrap().id, netns);
                assert!(search.failure.is_none(), "{:?}", search.failure);
            });
            drop(stop);
            thread.join().unwrap();
        }
    }
}
