//! The life of a network namespace that a record identifies: whether it still exists, which
//! processes run in it, and how they are stopped.
//!
//! Mounts, processes, descriptors and threads keep a namespace alive. So does an open socket, but
//! no file of `/proc` leads from a socket to its namespace; nor from a mount in another mount
//! namespace. Such a namespace is not found.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::kernel::error::KernelError;
use crate::kernel::netns::{Netns, NetnsId, NetnsRecord, cookie};
use crate::kernel::netns_keepers::{KeeperList, Namespaces};
use crate::kernel::process::{ProcessId, kill_if};

/// The longest search. Nearly all of it is for the descriptors of all processes. Longer in tests,
/// because the machine of a test may be busy.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 5 });
/// How long the processes of a namespace may take to end after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two checks whether the processes of a namespace have ended.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Where a namespace is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Among mounts and processes, which takes milliseconds.
    Quick,
    /// Also among the descriptors and threads of all processes.
    Full,
}

/// Finds a namespace. `None`: neither of the searched places leads to it.
///
/// # Errors
/// When a place could not be searched, also because [`SEARCH_TIMEOUT`] is over. The caller must not
/// take this for the end of the namespace.
pub(crate) fn find_netns(record: NetnsRecord, effort: Effort) -> Result<Option<Netns>, Error> {
    find_netns_within(record, effort, SEARCH_TIMEOUT)
}

fn find_netns_within(
    record: NetnsRecord,
    effort: Effort,
    timeout: Duration,
) -> Result<Option<Netns>, Error> {
    let mut list = KeeperList::new(Instant::now() + timeout, || false);
    let quick: &[fn(&mut KeeperList<'static>) -> Namespaces] =
        &[KeeperList::by_mount, KeeperList::by_process];
    let full: &[fn(&mut KeeperList<'static>) -> Namespaces] =
        &[KeeperList::by_descriptor, KeeperList::by_thread];
    let steps = quick.iter().chain(full.iter().filter(|_| effort == Effort::Full));
    for list_namespaces in steps {
        let mut namespaces = list_namespaces(&mut list);
        let Some(keepers) = namespaces.remove(&record.id) else { continue };
        let Some(netns) = list.open(&keepers, record.id) else { continue };
        // A later namespace may have the same id.
        match netns.inside(cookie) {
            Ok(found) if found == record.cookie => return Ok(Some(netns)),
            Ok(_) => {}
            Err(error) => list.note_failure(error),
        }
    }
    if list.is_incomplete() {
        let seconds = timeout.as_secs();
        return Err(Error::Kernel(KernelError::NetnsNotFound { seconds }));
    }
    list.failure.map_or(Ok(None), Err)
}

/// The processes in a namespace, without those that only hold it open or have a thread in it.
///
/// # Errors
/// As [`find_netns`].
pub(crate) fn processes_in(record: NetnsRecord) -> Result<Vec<i32>, Error> {
    // While `_netns` is open, no other namespace can get its id.
    let Some(_netns) = find_netns(record, Effort::Quick)? else { return Ok(Vec::new()) };
    pids_in(record.id)
}

fn pids_in(id: NetnsId) -> Result<Vec<i32>, Error> {
    let mut list = KeeperList::new(Instant::now() + SEARCH_TIMEOUT, || false);
    let found = list.by_process().remove(&id).unwrap_or_default().processes;
    if list.is_incomplete() {
        let seconds = SEARCH_TIMEOUT.as_secs();
        return Err(Error::Kernel(KernelError::NetnsNotFound { seconds }));
    }
    list.failure.map_or(Ok(found), Err)
}

/// The process in a namespace that has run for longest. `None`: there is none.
///
/// # Errors
/// As [`find_netns`].
pub(crate) fn oldest_process_in(record: NetnsRecord) -> Result<Option<ProcessId>, Error> {
    // While `_netns` is open, no other namespace can get its id.
    let Some(_netns) = find_netns(record, Effort::Quick)? else { return Ok(None) };
    let identified = pids_in(record.id)?.into_iter().filter_map(ProcessId::of);
    // Another process may have got the pid before it was identified.
    let still_there = identified.filter(|process| is_in(process.pid, record.id));
    Ok(still_there.min_by_key(|process| process.start_time))
}

/// Sends SIGKILL to all processes in a namespace, until none is left or [`KILL_TIMEOUT`] is over: a
/// process may fork while the processes are listed.
///
/// # Errors
/// [`KernelError::Call`] when the kernel refuses; as [`find_netns`]; [`KernelError::OwnNetns`] for
/// the namespace of the caller, which no container has.
pub(crate) fn kill_processes_in(record: NetnsRecord) -> Result<(), Error> {
    let Some(_netns) = find_netns(record, Effort::Quick)? else { return Ok(()) };
    if record.id == NetnsId::own()? {
        return Err(Error::Kernel(KernelError::OwnNetns));
    }
    let deadline = Instant::now() + KILL_TIMEOUT;
    loop {
        let pids = pids_in(record.id)?;
        if pids.is_empty() || Instant::now() >= deadline {
            return Ok(());
        }
        for pid in pids {
            kill_if(pid, || is_in(pid, record.id))?;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn is_in(pid: i32, id: NetnsId) -> bool {
    fs::metadata(format!("/proc/{pid}/ns/net"))
        .is_ok_and(|found| NetnsId { dev: found.dev(), ino: found.ino() } == id)
}

#[cfg(test)]
pub(crate) mod in_a_netns {
    //! These tests need root.

    use std::os::fd::AsFd;
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process in a network namespace of its own.
    pub(crate) fn process_in_new_netns() -> (Child, NetnsRecord) {
        let child = Command::new("unshare").args(["-n", "sleep", "1000"]).spawn().unwrap();
        let path = format!("/proc/{}/ns/net", child.id());
        let deadline = Instant::now() + Duration::from_secs(10);
        let record = loop {
            let netns = Netns::open(path.as_ref()).unwrap();
            if netns.id != NetnsId::own().unwrap() {
                break netns.record().unwrap();
            }
            assert!(Instant::now() < deadline, "the process has no network namespace of its own");
            thread::yield_now();
        };
        (child, record)
    }

    /// A bind mount that keeps a network namespace alive, as `ip netns` and Podman make it.
    pub(crate) struct Pin(tempfile::TempDir);

    impl Pin {
        pub(crate) fn of(process: &Child) -> Self {
            let pin = Self(tempfile::tempdir().unwrap());
            fs::write(pin.path(), "").unwrap();
            let source = format!("/proc/{}/ns/net", process.id());
            run(Command::new("mount").arg("--bind").arg(source).arg(pin.path()));
            pin
        }

        pub(crate) fn path(&self) -> PathBuf {
            self.0.path().join("netns")
        }
    }

    impl Drop for Pin {
        fn drop(&mut self) {
            run(Command::new("umount").arg(self.path()));
        }
    }

    fn run(command: &mut Command) {
        assert!(command.status().unwrap().success(), "{command:?}");
    }

    fn is_found(record: NetnsRecord, effort: Effort) -> bool {
        find_netns(record, effort).unwrap().is_some()
    }

    #[test]
    fn a_netns_lives_as_long_as_a_process_a_mount_or_a_descriptor_keeps_it() {
        let (mut child, record) = process_in_new_netns();
        assert!(is_found(record, Effort::Quick));
        assert_eq!(processes_in(record).unwrap(), [child.id() as i32]);

        // Not opened through the mount, because that would keep the mount busy.
        let netns = Netns::open(format!("/proc/{}/ns/net", child.id()).as_ref()).unwrap();
        let pin = Pin::of(&child);
        kill_processes_in(record).unwrap();
        assert!(!child.wait().unwrap().success());
        assert!(is_found(record, Effort::Quick), "a mount keeps it alive");
        assert!(processes_in(record).unwrap().is_empty());

        let holder = netns.as_fd().try_clone_to_owned().unwrap();
        let mut holder =
            Command::new("sleep").arg("1000").stdin(Stdio::from(holder)).spawn().unwrap();
        drop(netns);
        drop(pin);
        let (quick, full) = (is_found(record, Effort::Quick), is_found(record, Effort::Full));
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!((quick, full), (false, true), "a descriptor keeps it alive");
        assert!(!is_found(record, Effort::Full));
    }

    #[test]
    fn the_oldest_process_of_a_netns_is_found_until_none_is_left() {
        let (mut first, record) = process_in_new_netns();
        let _pin = Pin::of(&first);
        let target = first.id().to_string();
        let mut second =
            Command::new("nsenter").args(["-t", &target, "-n", "sleep", "1000"]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while processes_in(record).unwrap().len() < 2 {
            assert!(Instant::now() < deadline, "the process has not entered the namespace");
            thread::yield_now();
        }
        let oldest = || oldest_process_in(record).unwrap().map(|process| process.pid);
        for process in [&mut first, &mut second] {
            assert_eq!(oldest(), Some(process.id() as i32));
            process.kill().unwrap();
            process.wait().unwrap();
        }
        assert_eq!(oldest(), None);
    }

    #[test]
    fn another_netns_with_the_same_id_is_not_taken_for_it() {
        let (mut child, record) = process_in_new_netns();
        let later = NetnsRecord { cookie: record.cookie + 1, ..record };
        assert!(!is_found(later, Effort::Full));
        assert!(processes_in(later).unwrap().is_empty());
        kill_processes_in(later).unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_processes_of_the_own_netns_are_not_killed() {
        let own = Netns::own().unwrap().record().unwrap();
        let error = kill_processes_in(own).unwrap_err();
        assert!(matches!(error, Error::Kernel(KernelError::OwnNetns)), "{error:?}");
    }

    #[test]
    fn a_search_that_ends_early_is_no_proof_of_the_end() {
        let gone = NetnsRecord { id: NetnsId { dev: 0, ino: 0 }, cookie: 0 };
        let error = find_netns_within(gone, Effort::Full, Duration::ZERO).unwrap_err();
        assert!(matches!(error, Error::Kernel(KernelError::NetnsNotFound { .. })), "{error:?}");
        assert!(!is_found(gone, Effort::Full));
    }
}
