//! The audit log, `/var/log/runvf/audit.jsonl`: which container had which VLAN on which VF, from
//! when to when, and which requests were refused.
//!
//! Each line is one JSON object. runvf appends it with one `write(2)` and never changes it. The
//! kernel keeps the appends of several processes apart (`O_APPEND`, `open(2)`). runvf writes the
//! audit entry before it changes the claim, so a process that is killed in between leaves an extra
//! entry, never a missing one. An entry survives the death of runvf, but a crash of the machine may
//! lose it: runvf does not call `fsync(2)`.

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

/// Writes audit entries for a refused container and returns the error unchanged.
///
/// A failure to write is ignored: the container got no VF, and the caller reports the error.
pub fn refuse(host: &Host, request: &Request, container: &str, error: Error) -> Error {
    record_refusals(host, request.tenant.as_deref(), &request.interfaces, container, None, &error);
    error
}

/// Writes one audit entry of [`Event::Refused`] for each interface. Ignores failures to write.
pub(crate) fn record_refusals<'a>(
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
        let _ = append_entry(host, &entry);
    }
}

/// Appends an audit entry.
///
/// # Errors
/// [`LedgerError::Audit`].
pub(crate) fn append_entry(host: &Host, entry: &Entry) -> Result<(), Error> {
    let failed = |source| Error::Ledger(LedgerError::Audit { path: host.audit.clone(), source });
    let line = serde_json::to_string(entry).map_err(|error| failed(error.into()))?;
    open(&host.audit).and_then(|file| write_line(&file, line)).map_err(failed)
}

/// Checks that the audit log can be opened for writing, before an action that requires an audit
/// entry.
///
/// # Errors
/// [`LedgerError::Audit`].
pub(crate) fn check_writable(host: &Host) -> Result<(), Error> {
    let failed = |source| Error::Ledger(LedgerError::Audit { path: host.audit.clone(), source });
    open(&host.audit).map(drop).map_err(failed)
}

/// Appends a line. It starts a new line first if a full disk cut off the last one, because the two
/// would become one damaged line.
fn write_line(mut file: &File, mut line: String) -> io::Result<()> {
    let mut last_byte = [b'\n'];
    if let Some(end) = file.metadata()?.len().checked_sub(1) {
        file.read_exact_at(&mut last_byte, end)?;
    }
    if last_byte != [b'\n'] {
        line.insert(0, '\n');
    }
    line.push('\n');
    match file.write(line.as_bytes())? {
        written if written == line.len() => Ok(()),
        _ => Err(io::ErrorKind::StorageFull.into()),
    }
}

/// Opens the audit log for appending and creates it with its folder if necessary.
///
/// Follows no symbolic link, neither to the folder nor to the file. The group of a log daemon may
/// be able to write to `/var/log`, and a link there must not make root append to another file.
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
        return Err(io::Error::other("users other than root can write to its folder"));
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
        false => Err(io::Error::other("it is not a regular file")),
    }
}

#[cfg(test)]
mod tests;
