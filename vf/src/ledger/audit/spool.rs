//! The spool: audit entries that could not be written to the log, as one file each in
//! `/run/runvf/audit-spool`. `gc` appends them to the log, oldest first.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::append::{AUDIT_TIMEOUT, append_entry, append_spooled, audit_error};
use super::entry::Entry;
use super::writers::{self, Role};
use crate::error::Error;
use crate::fault;
use crate::host::Host;

/// The most entries in the spool, which is in memory. While the log cannot be written, no VF is
/// attached, so each VF adds one or two entries.
const MAX_ENTRIES: usize = 4096;

/// Where an entry was written.
#[derive(Debug)]
pub(crate) enum Recorded {
    InLog,
    /// In the spool, because of this error of the log.
    InSpool(Error),
}

/// Appends an entry of a procedure that must go on: if the log cannot be written, the entry goes
/// to the spool. The caller has the lock of the claim's PF, so the entries of a claim keep
/// their order.
///
/// # Errors
/// [`LedgerError::Audit`](crate::ledger::error::LedgerError::Audit) when the spool cannot be
/// written either.
pub(crate) fn append_or_spool(host: &Host, entry: &Entry) -> Result<Recorded, Error> {
    // An entry of the same claim may be in the spool. It must stay the earlier one.
    let error = match spooled(host) {
        0 => match append_entry(host, entry) {
            Ok(()) => return Ok(Recorded::InLog),
            Err(error) => error,
        },
        waiting => audit_error(host)(io::Error::other(format!(
            "{waiting} earlier entries wait for `runvfctl gc`"
        ))),
    };
    match spool(host, entry) {
        Ok(()) => Ok(Recorded::InSpool(error)),
        Err(_) => Err(error),
    }
}

/// The number of entries in the spool.
pub(crate) fn spooled(host: &Host) -> usize {
    spool_files(host).len()
}

/// The files of the spool, oldest first.
pub(super) fn spool_files(host: &Host) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder(host)).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    files.sort();
    files
}

fn folder(host: &Host) -> PathBuf {
    host.run.join("audit-spool")
}

/// Writes the entry to a file of its own. The file gets its name when it is complete.
fn spool(host: &Host, entry: &Entry) -> io::Result<()> {
    if spooled(host) >= MAX_ENTRIES {
        return Err(ErrorKind::StorageFull.into());
    }
    let folder = folder(host);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    // The time since boot, because the wall clock may be set back.
    let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
    let pid = std::process::id();
    let path = folder.join(format!("{:020}-{pid}.json", now.as_nanos()));
    let temporary = folder.join(format!(".{pid}"));
    fault::point("audit-spool")?;
    fs::write(&temporary, serde_json::to_vec(entry)?)?;
    fault::point("audit-spool-rename")?;
    fs::rename(&temporary, &path)
}

/// Appends the entries of the spool to the log. A process that is killed between the append and the
/// removal of the file leaves an entry too many; a reader of the log skips it.
///
/// # Errors
/// [`LedgerError::Audit`](crate::ledger::error::LedgerError::Audit). The other entries stay.
pub(crate) fn flush_spool(host: &Host) -> Result<(), Error> {
    if spooled(host) == 0 {
        return Ok(());
    }
    // Another process that writes now may hang in an earlier entry of the same claim. Then the
    // next `gc` appends.
    let lock = writers::lock(host, Role::Flusher, AUDIT_TIMEOUT).map_err(audit_error(host))?;
    for path in spool_files(host) {
        append_file(host, &path, &lock)?;
    }
    Ok(())
}

fn append_file(host: &Host, path: &Path, lock: &fs::File) -> Result<(), Error> {
    let line = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        line => line.map_err(audit_error(host))?,
    };
    append_spooled(host, &line, lock)?;
    fault::point("audit-spool-remove").map_err(Error::errno("remove", path))?;
    fs::remove_file(path).map_err(Error::file("remove", path))
}
