//! The audit log, `/var/log/runvf/audit.jsonl`: which container had which VLAN on which VF, from
//! when to when, and which requests were refused.
//!
//! Each line is one JSON object. runvf appends it with one `write(2)` and never changes it. The
//! kernel keeps the appends of several processes apart (`O_APPEND`, `open(2)`). runvf writes the
//! audit entry before it changes the claim, so a process that is killed in between leaves an extra
//! entry, never a missing one. An entry survives the death of runvf, but a crash of the machine may
//! lose it: runvf does not call `fsync(2)`.
//!
//! The log's file system may hang or be full, so the write has a timeout. An attach then fails. A
//! release goes on, and its entry waits in a spool below `/run/runvf` until `gc` appends it.
//! Refusals are limited to a number per minute, because every user of an engine can cause them.

mod append;
mod entry;
mod follow;
mod read;
mod refusals;
mod spool;
mod writers;

pub(crate) use self::append::{append_entry, check_writable};
pub use self::entry::{Entry, Event, MoreRefused};
pub use self::follow::AuditFollower;
pub use self::read::{Audit, audit};
pub(crate) use self::refusals::{append_refusal, record_refusal, report_suppressed};
pub(crate) use self::spool::{Recorded, append_or_spool, flush_spool, spooled};

use crate::error::Error;
use crate::host::Host;
use crate::policy::pod::PodRole;
use crate::policy::request::Request;

/// Writes an audit entry for a refused container and returns the error unchanged.
///
/// A failure to write is ignored: the container got no VF, and the caller reports the error.
pub fn refuse(host: &Host, request: &Request, container: &str, error: Error) -> Error {
    let (tenant, pod) = (request.tenant.as_deref(), request.pod.as_ref().map(PodRole::pod));
    record_refusal(host, tenant, &request.interfaces, container, None, pod, &error);
    error
}

#[cfg(test)]
mod in_a_netns;
#[cfg(test)]
mod tests;
