//! Who had which VLAN on which VF from when to when, and who was refused: `/var/log/runvf/audit.jsonl`.
//!
//! One JSON object on a line, one `write(2)` for each, appended and never changed. The kernel keeps appends of several processes
//! apart (`O_APPEND`, `open(2)`). A line is written before the claim is changed for what it tells, so whoever is killed in between
//! leaves a line too many, never one too few. What a line tells survives runvf's death, not the machine's: nothing is synced.

mod read;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

pub use self::read::{Audit, audit};

use crate::claim::{Claim, PROBE, State};
use crate::process::boot_id;
use crate::{Error, Host, Interface, Request, VlanProto, fault};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The container has the VF.
    Attached,
    /// The VF was taken back, is clean and free.
    Released,
    /// The same, by an operator, from a container that ran.
    Forced,
    /// Another tool had changed the VF's VLAN or trust while the container had it.
    Changed,
    /// The container ran on, at first, without its VF.
    Lost,
    /// The VF was taken back and could not be cleaned.
    Quarantined,
    /// It could be after all.
    Repaired,
    /// The container got nothing.
    Refused,
}

/// A line of the file. Times are RFC 3339 in UTC with milliseconds, so that they sort as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub time: String,
    pub event: Event,
    pub vlan: u32,
    /// Written only if it is not the usual one.
    #[serde(default, skip_serializing_if = "VlanProto::is_usual")]
    pub proto: VlanProto,
    /// PCI address. `None`, as for all below: nobody knows, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vf: Option<String>,
    /// The PF's netdev when the VF was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pf: Option<String>,
    /// The VLAN's owner; of a refused request, whom it named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// As the engine names it. Empty when nobody knows.
    pub container: String,
    /// The VF's name inside.
    pub interface: String,
    /// The container's init process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The same for an attachment and its end, and for no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// Of an attachment: this boot of the machine. A VF is nobody's after the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// When the VF was claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it began to be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Entry {
    fn of(event: Event, claim: &Claim) -> Self {
        Self {
            time: now(),
            event,
            vlan: claim.want.vlan,
            proto: claim.want.proto,
            vf: Some(claim.vf.clone()),
            pf: Some(claim.pf_name.clone()),
            tenant: claim.tenant.clone(),
            container: claim.container.clone(),
            interface: claim.interface.clone(),
            pid: Some(claim.init.pid),
            claim: Some(claim.nonce.clone()),
            boot: None,
            since: claim.claimed_at(),
            until: None,
            reason: None,
        }
    }

    pub(crate) fn attached(claim: &Claim) -> Self {
        Self { boot: boot_id().ok(), ..Self::of(Event::Attached, claim) }
    }

    pub(crate) fn lost(claim: &Claim, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::of(Event::Lost, claim) }
    }

    pub(crate) fn changed(claim: &Claim, what: &str) -> Self {
        Self { reason: Some(what.to_owned()), ..Self::of(Event::Changed, claim) }
    }

    /// Of a claim that is about to be given back.
    pub(crate) fn end(event: Event, claim: &Claim) -> Self {
        // A probe's claim goes no further than `configured`, and its VF was at work all the same.
        let never =
            matches!(claim.state, State::Claiming | State::Configured) && claim.container != PROBE;
        let reason = never.then(|| "it was not attached yet".to_owned());
        Self { until: Some(now()), reason, ..Self::of(event, claim) }
    }
}

fn now() -> String {
    rfc3339(SystemTime::now()).unwrap_or_default()
}

/// `None` for a year that has not four digits: humantime prints none.
pub(crate) fn rfc3339(time: SystemTime) -> Option<String> {
    const YEAR_10000: Duration = Duration::from_secs(253_402_300_800);
    let printable = time.duration_since(UNIX_EPOCH).is_ok_and(|since| since < YEAR_10000);
    printable.then(|| humantime::format_rfc3339_millis(time).to_string())
}

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
/// [`Error::Audit`].
pub(crate) fn record(host: &Host, entry: &Entry) -> Result<(), Error> {
    let failed = |source| Error::Audit { path: host.audit.clone(), source };
    let line = serde_json::to_string(entry).map_err(|error| failed(error.into()))?;
    open(&host.audit).and_then(|file| append(&file, line)).map_err(failed)
}

/// Whether lines can be written at all, for whoever is about to do what must be on record.
///
/// # Errors
/// [`Error::Audit`].
pub(crate) fn expect_record(host: &Host) -> Result<(), Error> {
    let failed = |source| Error::Audit { path: host.audit.clone(), source };
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
