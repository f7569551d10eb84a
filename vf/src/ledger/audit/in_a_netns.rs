//! The file system of the log hangs: fanotify makes each open(2) wait for an answer that never comes.
//! This test needs root and fails without it.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;

use super::*;
use crate::ledger::claim::tests::claim;
use crate::ledger::error::LedgerError;
use crate::ledger::lock::lock_pf_within;

/// While it exists, no process can open a file in the folder.
struct Hang {
    _listener: File,
}

impl Hang {
    fn of_opens_in(folder: &Path) -> Self {
        let path = CString::new(folder.as_os_str().as_bytes()).unwrap();
        let flags = libc::FAN_CLASS_CONTENT | libc::FAN_CLOEXEC;
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::fanotify_init(flags, libc::O_RDONLY as u32) };
        let fd = Errno::result(fd).expect("fanotify: this test needs root");
        // SAFETY: the descriptor is new and belongs to nothing else.
        let listener = unsafe { File::from_raw_fd(fd) };
        let mask = libc::FAN_OPEN_PERM | libc::FAN_EVENT_ON_CHILD;
        // SAFETY: the path is zero-terminated.
        let marked = unsafe {
            libc::fanotify_mark(
                listener.as_raw_fd(),
                libc::FAN_MARK_ADD,
                mask,
                libc::AT_FDCWD,
                path.as_ptr(),
            )
        };
        Errno::result(marked).unwrap();
        Self { _listener: listener }
    }
}

#[test]
fn a_log_whose_file_system_hangs_is_given_up_and_keeps_no_pf_locked() {
    let folder = tempfile::tempdir().unwrap();
    let (audit_log, run) = (folder.path().join("runvf/audit.jsonl"), folder.path().join("run"));
    let host = Host { audit: audit_log, run, ..Host::default() };
    let entry = |event| Entry::end(event, &claim("0000:01:10.0", "n"));
    append_entry(&host, &entry(Event::Lost)).unwrap();

    let hang = Hang::of_opens_in(host.audit.parent().unwrap());
    // Other tests of this program fork children that keep the lock for a moment.
    let lock = || lock_pf_within(&host.run, "0000:01:00.0", Duration::from_secs(20));
    let held = lock().unwrap();
    let began = Instant::now();
    let refused = append_entry(&host, &entry(Event::Attached)).unwrap_err();
    assert_eq!(
        refused.line(),
        format!(
            "cannot write the audit log {}: its file system did not answer within 2 s; attaching \
             requires an audit entry; check the file system of the log, see `dmesg`",
            host.audit.display()
        )
    );
    let recorded = append_or_spool(&host, &entry(Event::Released)).unwrap();
    assert!(matches!(recorded, Recorded::InSpool(_)));
    check_writable(&host).unwrap_err();
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1900) && took < Duration::from_secs(8), "{took:?}");
    drop(held);
    lock().map(drop).expect("the process that hangs keeps the PF locked");
    let failed = flush_spool(&host).unwrap_err();
    assert!(matches!(failed, Error::Ledger(LedgerError::Audit { .. })), "{failed:?}");

    drop(hang);
    // Another path stands for another process: this one does not try the log again.
    symlink(folder.path(), folder.path().join("alias")).unwrap();
    let other = Host { audit: folder.path().join("alias/runvf/audit.jsonl"), ..host.clone() };
    let deadline = Instant::now() + Duration::from_secs(20);
    while flush_spool(&other).is_err() {
        assert!(Instant::now() < deadline, "the writers' lock is still held");
    }
    let events: Vec<Event> =
        audit(&other).unwrap().entries.into_iter().map(|entry| entry.event).collect();
    assert_eq!(events, [Event::Lost, Event::Released], "a killed writer writes nothing");
}
