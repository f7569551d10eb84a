//! Appends to the audit log within a time limit.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::writers::{self, Role};
use crate::error::Error;
use crate::host::Host;
use crate::kernel::bounded_append::append;
use crate::ledger::error::LedgerError;

/// How long the log's file system may take. A disk needs milliseconds; an engine waits for runvf.
pub(super) const AUDIT_TIMEOUT: Duration = Duration::from_secs(2);

/// The logs that have hung in this process, and when. For [`HUNG_TIME`] they are not tried again:
/// the VFs of one container would otherwise wait one after the other.
static HUNG: Mutex<Vec<(PathBuf, Instant)>> = Mutex::new(Vec::new());
const HUNG_TIME: Duration = Duration::from_secs(60);

/// Appends an audit entry.
///
/// # Errors
/// [`LedgerError::Audit`], after [`AUDIT_TIMEOUT`] at the latest.
pub(crate) fn append_entry(host: &Host, entry: &Entry) -> Result<(), Error> {
    let line = serde_json::to_string(entry);
    let appended = line.map_err(io::Error::from).and_then(|line| append_line(host, &line));
    appended.map_err(audit_error(host))
}

/// Checks that the audit log can be opened for writing, before an action that requires an audit
/// entry.
///
/// # Errors
/// [`LedgerError::Audit`].
pub(crate) fn check_writable(host: &Host) -> Result<(), Error> {
    let no_lock: Option<&std::fs::File> = None;
    let checked = unless_hung(host, || append(&host.audit, None, no_lock, AUDIT_TIMEOUT));
    checked.map_err(audit_error(host))
}

fn append_line(host: &Host, line: &str) -> io::Result<()> {
    unless_hung(host, || {
        let deadline = Instant::now() + AUDIT_TIMEOUT;
        let lock = writers::lock(host, Role::Writer, AUDIT_TIMEOUT)?;
        let left = deadline.saturating_duration_since(Instant::now());
        append(&host.audit, Some(line), Some(&lock), left)
    })
}

/// Appends a line that was spooled. The caller has the writers' lock, `lock`.
pub(super) fn append_spooled(host: &Host, line: &str, lock: &std::fs::File) -> Result<(), Error> {
    let appended =
        unless_hung(host, || append(&host.audit, Some(line.trim_end()), Some(lock), AUDIT_TIMEOUT));
    appended.map_err(audit_error(host))
}

/// Runs `write`, unless the log has hung in this process a moment ago.
fn unless_hung(host: &Host, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let hung = || HUNG.lock().unwrap_or_else(PoisonError::into_inner);
    hung().retain(|(_, when)| when.elapsed() < HUNG_TIME);
    if hung().iter().any(|(log, _)| *log == host.audit) {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "its file system does not answer"));
    }
    write().inspect_err(|error| {
        if error.kind() == io::ErrorKind::TimedOut {
            hung().push((host.audit.clone(), Instant::now()));
        }
    })
}

pub(super) fn audit_error(host: &Host) -> impl Fn(io::Error) -> Error {
    let path = host.audit.clone();
    move |source| Error::Ledger(LedgerError::Audit { path: path.clone(), source })
}
