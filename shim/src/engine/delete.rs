//! `delete` by another runtime, and the removal of a container after a failed `create` or `run`.

use std::process::ExitCode;

use super::command_line;
use super::presence::Presence;
use super::program::Engine;
use super::record::Record;
use crate::cli::{self, Global};
use crate::error::{self, Error};
use crate::log::Log;
use crate::vf::release_vfs;

/// Lets the engine delete the container, then releases its VFs. The VFs are also released if the
/// engine fails because the container does not exist.
pub(super) fn delete(
    engine: &Engine,
    record: Option<&Record>,
    global: &Global,
    options: &cli::Delete,
    log: &Log,
) -> Result<ExitCode, Error> {
    let id = options.id.as_str();
    let status = engine.run(command_line::current())?;
    if status.success() || is_missing(engine, global, id) {
        release(record, global, id, log);
    }
    if !status.success() {
        // The engine has written its error to the log, which must stay the only entry.
        log.print_warnings();
    }
    engine.exit_code(status, "delete")
}

/// Removes a container that runvf created through the engine, and releases its VFs.
pub(super) fn remove(engine: &Engine, global: &Global, id: &str, log: &Log) -> Result<(), Error> {
    let deleted = engine.query(global.root.as_deref(), &["delete", "--force"], id).map(drop);
    if deleted.is_ok() || is_missing(engine, global, id) {
        release(None, global, id, log);
    }
    deleted
}

/// Releases the VFs of a container and removes its record. Without a record the container may have
/// had VFs, so the release is tried; without VFs it does nothing.
fn release(record: Option<&Record>, global: &Global, id: &str, log: &Log) {
    if !matches!(record.map(Record::request), Some(Ok(None))) {
        release_vfs(id, log);
    }
    if let Err(error) = Record::remove(global, id) {
        log.warn(&error::line(&error));
    }
}

/// Whether the engine has no such container. If that is unknown, the container may be running, and
/// its VFs must stay attached.
fn is_missing(engine: &Engine, global: &Global, id: &str) -> bool {
    matches!(engine.presence(global.root.as_deref(), id), Presence::Missing)
}
