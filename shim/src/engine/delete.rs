//! `delete` by another runtime, and the end of a container whose `create` or `run` failed.

use std::process::ExitCode;

use super::command_line;
use super::program::Engine;
use super::record::Record;
use crate::cli::{self, Global};
use crate::error::{self, Error};
use crate::log::Log;
use crate::vf::release_vfs;

/// The engine first, the VFs after it. They are released too if the engine fails because there is no such container.
pub(super) fn delete(
    engine: &Engine,
    record: Option<&Record>,
    global: &Global,
    options: &cli::Delete,
    log: &Log,
) -> Result<ExitCode, Error> {
    let id = options.id.as_str();
    let status = engine.run(command_line::typed())?;
    if status.success() || is_gone(engine, global, id) {
        forget(record, global, id, log);
    }
    engine.exit_code(status, "delete")
}

/// For a container that runvf itself has had made and does not want any more.
pub(super) fn remove(engine: &Engine, global: &Global, id: &str, log: &Log) -> Result<(), Error> {
    let gone = engine.query(global.root.as_deref(), &["delete", "--force"], id).map(drop);
    if gone.is_ok() || is_gone(engine, global, id) {
        forget(None, global, id, log);
    }
    gone
}

/// What there is beside the engine's own. Without a record nothing says that there were no VFs, and asking is a no-op then.
fn forget(record: Option<&Record>, global: &Global, id: &str, log: &Log) {
    if !matches!(record.map(Record::request), Some(Ok(None))) {
        release_vfs(id, log);
    }
    if let Err(error) = Record::remove(global, id) {
        log.warn(&error::line(&error));
    }
}

/// By its engine's word, which is runc's or crun's. A `state` that fails otherwise must not cost a living container its VFs.
fn is_gone(engine: &Engine, global: &Global, id: &str) -> bool {
    match engine.query(global.root.as_deref(), &["state"], id) {
        Err(Error::Engine { problem, .. }) => ["does not exist", "No such file or directory"]
            .iter()
            .any(|text| problem.contains(text)),
        _ => false,
    }
}
