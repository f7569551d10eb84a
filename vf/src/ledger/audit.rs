//! Who had which VLAN on which VF from when to when, and who was refused: `/var/log/runvf/audit.jsonl`.
//!
//! One JSON object on a line, one `write(2)` for each, appended and never changed. The kernel keeps appends of several processes
//! apart (`O_APPEND`, `open(2)`). A line is written before the claim is changed for what it tells, so whoever is killed in between
//! leaves a line too many, never one too few. What a line tells survives runvf's death, not the machine's: nothing is synced.

mod entry;
mod read;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

pub use self::entry::{Entry, Event};
pub use self::read::{Audit, audit};

use crate::error::Error;
use crate::fault;
use crate::host::Host;
use crate::kernel::time::now;
use crate::ledger::error::LedgerError;
use crate::policy::request::{Interface, Request};

/// Puts it on record that a container is refused, and hands the reason on. Best effort: nothing was given away, and whoever asked
/// is told why.
pub fn refuse(host: &Host, request: &Request, container: &str, error: Error) -> Error {
    refused(host, request.tenant.as_deref(), &request.interfaces, container, None, &error);
    error
}

pub(crate) fn refused<'a>(
    host: &Host,
    tenant: Option<&str>,
    interfaces: impl IntoIterator<Item = &'a Interface>,
    container: &str,
    pid: Option<i32>,
    error: &Error,
) {
    for interface in interfaces {
        let entry = Entry {
            time: now(),
            event: Event::Refused,
            vlan: interface.vlan.into(),
            proto: interface.proto,
            vf: None,
            pf: None,
            tenant: tenant.map(str::to_owned),
            container: container.to_owned(),
            interface: interface.name.clone(),
            pid,
            claim: None,
            boot: None,
            since: None,
            until: None,
            reason: Some(error.line()),
        };
        let _ = record(host, &entry);
    }
}

/// Appends a line.
///
/// # Errors
/// [`LedgerError::Audit`].
pub(crate) fn record(host: &Host, entry: &Entry) -> Result<(), Error> {
    let failed = |source| Error::Ledger(LedgerError::Audit { path: host.audit.clone(), source });
    let line = serde_json::to_string(entry).map_err(|error| failed(error.into()))?;
    open(&host.audit).and_then(|file| append(&file, line)).map_err(failed)
}

/// Whether lines can be written at all, for whoever is about to do what must be on record.
///
/// # Errors
/// [`LedgerError::Audit`].
pub(crate) fn expect_record(host: &Host) -> Result<(), Error> {
    let failed = |source| Error::Ledger(LedgerError::Audit { path: host.audit.clone(), source });
    open(&host.audit).map(drop).map_err(failed)
}

/// A disk that was full may have left half a line, which must not take this one with it.
fn append(mut file: &File, mut line: String) -> io::Result<()> {
    let mut last = [b'\n'];
    if let Some(end) = file.metadata()?.len().checked_sub(1) {
        file.read_exact_at(&mut last, end)?;
    }
    if last != [b'\n'] {
        line.insert(0, '\n');
    }
    line.push('\n');
    match file.write(line.as_bytes())? {
        whole if whole == line.len() => Ok(()),
        _ => Err(io::ErrorKind::StorageFull.into()),
    }
}

/// No link is followed, neither to the folder nor to the file: `/var/log` may be writable by the group of a log daemon, and root
/// must not be led to append to a file of somebody's choice.
fn open(path: &Path) -> io::Result<File> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    fault::point("audit")?;
    DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let folder = OpenOptions::new().read(true).custom_flags(flags.bits()).open(folder)?;
    let metadata = folder.metadata()?;
    if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("somebody other than root may write to its folder"));
    }
    let flags = OFlag::O_RDWR
        | OFlag::O_APPEND
        | OFlag::O_CREAT
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP;
    let file = File::from(openat(&folder, name, flags, mode)?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a file")),
    }
}

#[cfg(test)]
mod tests;
