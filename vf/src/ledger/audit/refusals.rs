//! Audit entries of refused requests: one for each request, and at most [`MAX_PER_MINUTE`].
//!
//! Every user of an engine can cause refusals. Without a limit, such a user could fill the disk,
//! and then no container would get a VF.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::append::append_entry;
use super::entry::{Entry, Event, MoreRefused};
use super::spool::append_or_spool;
use crate::error::Error;
use crate::fault;
use crate::host::Host;
use crate::ledger::lock::lock_refusals;
use crate::policy::pod::Pod;
use crate::policy::request::Interface;

/// The most refusals that get an audit entry within [`WINDOW_SECONDS`], of all containers.
pub(super) const MAX_PER_MINUTE: u32 = 60;
const WINDOW_SECONDS: u64 = 60;

/// The refusals of the current window, in `/run/runvf/refusals.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Window {
    /// When it began, in seconds since boot.
    began: u64,
    recorded: u32,
    suppressed: u32,
}

/// Writes one audit entry of [`Event::Refused`] for a request: see [`append_refusal`].
pub(crate) fn record_refusal<'a>(
    host: &Host,
    tenant: Option<&str>,
    interfaces: impl IntoIterator<Item = &'a Interface>,
    container: &str,
    pid: Option<i32>,
    pod: Option<&Pod>,
    error: &Error,
) {
    let mut interfaces = interfaces.into_iter();
    let Some(first) = interfaces.next() else { return };
    let more = interfaces.map(|interface| MoreRefused {
        vlan: interface.vlan.into(),
        proto: interface.proto,
        interface: interface.name.clone(),
    });
    let entry = Entry {
        vlan: first.vlan.into(),
        proto: first.proto,
        tenant: tenant.map(str::to_owned),
        container: container.to_owned(),
        interface: first.name.clone(),
        pid,
        more: more.collect(),
        reason: Some(error.line()),
        ..Entry::without_vf(Event::Refused).of_pod(pod)
    };
    append_refusal(host, &entry);
}

/// Writes the entry of a refusal, unless there were too many within a minute. Ignores failures to
/// write.
pub(crate) fn append_refusal(host: &Host, entry: &Entry) {
    // Without the count the entry is written, because it matters more than the limit.
    let (is_admitted, suppressed) = count_refusal(host).unwrap_or((true, 0));
    if suppressed > 0 {
        let _ = append_or_spool(host, &suppressed_entry(suppressed));
    }
    if is_admitted {
        let _ = append_entry(host, entry);
    }
}

/// Writes the entry that says how many refusals of the last window have none of their own. `gc`
/// calls this, because there may be no further refusal.
pub(crate) fn report_suppressed(host: &Host) {
    if !path(host).exists() {
        return;
    }
    let over = |window: &mut Window, now| is_over(window, now).then(|| restart(window, now));
    if let Ok(Some(suppressed)) = change_window(host, over)
        && suppressed > 0
    {
        let _ = append_or_spool(host, &suppressed_entry(suppressed));
    }
}

/// Counts a refusal. Returns whether it gets an entry, and how many of the last window got none.
fn count_refusal(host: &Host) -> Result<(bool, u32), Error> {
    change_window(host, |window, now| {
        let suppressed = if is_over(window, now) { restart(window, now) } else { 0 };
        let is_admitted = window.recorded < MAX_PER_MINUTE;
        match is_admitted {
            true => window.recorded += 1,
            false => window.suppressed = window.suppressed.saturating_add(1),
        }
        (is_admitted, suppressed)
    })
}

/// Also when the time is before the window's begin: the file is not of this boot.
fn is_over(window: &Window, now: u64) -> bool {
    now.checked_sub(window.began).is_none_or(|age| age >= WINDOW_SECONDS)
}

/// Begins a new window. Returns the number of suppressed refusals of the old one.
fn restart(window: &mut Window, now: u64) -> u32 {
    std::mem::replace(window, Window { began: now, ..Window::default() }).suppressed
}

fn path(host: &Host) -> PathBuf {
    host.run.join("refusals.json")
}

/// Changes the window under its lock. `change` gets the time since boot in seconds.
fn change_window<T>(host: &Host, change: impl FnOnce(&mut Window, u64) -> T) -> Result<T, Error> {
    let path = path(host);
    let failed = Error::file("write", &path);
    let _lock = lock_refusals(&host.run)?;
    let now = Duration::from(
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(io::Error::from).map_err(&failed)?,
    );
    let mut window: Window = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Window::default(),
        // A damaged file counts as empty.
        text => serde_json::from_slice(&text.map_err(&failed)?).unwrap_or_default(),
    };
    let changed = change(&mut window, now.as_secs());
    let temporary = path.with_extension("new");
    fault::point("refusals").map_err(Error::errno("write", &path))?;
    let text = serde_json::to_vec(&window).map_err(|error| failed(error.into()))?;
    fs::write(&temporary, text).map_err(&failed)?;
    fault::point("refusals-rename").map_err(Error::errno("write", &path))?;
    fs::rename(&temporary, &path).map_err(&failed)?;
    Ok(changed)
}

fn suppressed_entry(count: u32) -> Entry {
    let reason = format!("{count} more refusals within a minute have no entry of their own");
    Entry { reason: Some(reason), ..Entry::without_vf(Event::Suppressed) }
}
