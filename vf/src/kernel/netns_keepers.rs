//! Lists the network namespaces that processes, mounts, descriptors and threads keep alive.
//!
//! The caller may hold the lock of a PF, and a container may have any number of processes and
//! descriptors. So the list has a deadline.

mod mounts;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use self::mounts::netns_mounts;
use crate::error::Error;
use crate::kernel::error::errno_of;
use crate::kernel::netns::{Netns, NetnsId};

/// Between two checks during a step whether the caller has its answer already.
const CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// What keeps a namespace alive.
#[derive(Debug, Default)]
pub(crate) struct Keepers {
    /// Processes that run in the namespace.
    pub(crate) processes: Vec<i32>,
    /// Processes that keep the namespace open by a descriptor.
    pub(crate) holders: Vec<i32>,
    /// Paths that open the namespace, besides `/proc/PID/ns/net` of the processes.
    pub(crate) paths: Vec<PathBuf>,
}

pub(crate) type Namespaces = BTreeMap<NetnsId, Keepers>;

/// Lists network namespaces, in steps: each of [`by_process`](Self::by_process), `by_mount`,
/// `by_descriptor` and `by_thread` is one.
pub(crate) struct KeeperList<'a> {
    deadline: Instant,
    next_check: Instant,
    /// Whether the caller has its answer already, so that no step is needed any more.
    is_answered: Box<dyn Fn() -> bool + 'a>,
    was_answered: bool,
    timed_out: bool,
    /// The first error that kept a file or a namespace from being examined.
    pub(crate) failure: Option<Error>,
}

impl<'a> KeeperList<'a> {
    /// `is_answered` is called every [`CHECK_INTERVAL`], and ends the list if it returns `true`.
    pub(crate) fn new(deadline: Instant, is_answered: impl Fn() -> bool + 'a) -> Self {
        Self {
            deadline,
            next_check: Instant::now() + CHECK_INTERVAL,
            is_answered: Box::new(is_answered),
            was_answered: false,
            timed_out: false,
            failure: None,
        }
    }

    /// Whether the list must end: its time is over, or the caller has its answer.
    pub(crate) fn is_over(&mut self) -> bool {
        let now = Instant::now();
        self.timed_out |= now >= self.deadline;
        if now >= self.next_check {
            self.next_check = now + CHECK_INTERVAL;
            self.was_answered |= (self.is_answered)();
        }
        self.is_incomplete()
    }

    /// Whether a step has ended early, so that it may have missed a namespace.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.timed_out || self.was_answered
    }

    /// Opens the namespace by the first path that still leads to it.
    pub(crate) fn open(&mut self, keepers: &Keepers, id: NetnsId) -> Option<Netns> {
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

    pub(crate) fn note_failure(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Returns what was read, or `None` if the file holds no namespace for the list.
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

    /// Calls `handle` with each entry of a folder, until the list is over.
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

    pub(crate) fn by_process(&mut self) -> Namespaces {
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
    /// Mounts inside containers are ignored. Their paths lead through file systems of the
    /// container's choice. A server that does not answer (FUSE) would block runvf without end while
    /// it holds a PF's lock.
    pub(crate) fn by_mount(&mut self) -> Namespaces {
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
    pub(crate) fn by_descriptor(&mut self) -> Namespaces {
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
        self.for_each_entry(folder, |list, path| {
            let target = list.read_or_note(&path, fs::read_link(&path)).unwrap_or_default();
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
                    list.note_failure(error)
                }
                Err(_) => {}
            }
        });
    }

    /// Lists the namespaces of threads. A single thread may have entered a namespace. If the main
    /// thread has exited, only the other threads show the namespace and the descriptors of the
    /// process.
    pub(crate) fn by_thread(&mut self) -> Namespaces {
        let mut found = Namespaces::new();
        for pid in self.processes() {
            let main_thread_exited = self.id(&proc_path(pid, "ns/net")).is_none();
            self.for_each_entry(&proc_path(pid, "task"), |list, thread| {
                if number(&thread) == Some(pid) {
                    return;
                }
                let path = thread.join("ns/net");
                if let Some(id) = list.id(&path) {
                    let keepers = found.entry(id).or_default();
                    keepers.processes.push(pid);
                    keepers.paths.push(path);
                }
                if main_thread_exited {
                    list.add_descriptors(pid, &thread.join("fd"), &mut found);
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
    use std::cell::Cell;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    fn list() -> KeeperList<'static> {
        KeeperList::new(Instant::now() + Duration::from_secs(60), || false)
    }

    #[test]
    fn an_unexamined_namespace_does_not_count_as_empty() {
        let is_noted = |errno: i32| {
            let mut list = list();
            let failed = Err::<(), _>(io::Error::from_raw_os_error(errno));
            assert!(list.read_or_note(Path::new("/proc/1/ns/net"), failed).is_none());
            list.failure.is_some()
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
        let mut list = list();
        assert!(list.open(&keepers, here).is_none() && list.failure.is_none());
    }

    #[test]
    fn the_list_ends_when_the_caller_has_its_answer() {
        let answered = Cell::new(false);
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut list = KeeperList::new(deadline, || answered.get());
        list.next_check = Instant::now();
        assert!(!list.is_over() && !list.is_incomplete());
        answered.set(true);
        list.next_check = Instant::now();
        assert!(list.is_over() && list.is_incomplete());
        assert!(list.by_process().is_empty() && list.by_descriptor().is_empty());
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
            let mut list = list();
            assert!(!list.by_process().contains_key(&netns));
            let found = list.by_thread();
            let own = i32::try_from(std::process::id()).unwrap();
            assert_eq!(found[&netns].processes, [own]);
            assert_eq!(list.open(&found[&netns], netns).unwrap().id, netns);
            assert!(list.failure.is_none(), "{:?}", list.failure);
            drop(stop);
            thread.join().unwrap();
        }
    }
}
