//! Containers that another runtime creates. With `engine` in `runtime.toml`, runvf only attaches
//! and releases the VFs, and runc or crun does everything else.
//!
//! A command without VF work is passed to the engine by exec(3), with an unchanged command line. A
//! container stays with the runtime that created it: a [`Record`] names its engine, and a container
//! of libcontainer has its own files under `--root`. So a changed `runtime.toml` applies only to
//! new containers, and an invalid one does not prevent the removal of old ones.

mod bundle;
mod command_line;
mod create;
mod delete;
#[cfg(test)]
mod hostile;
mod presence;
mod program;
mod record;
mod restore;
mod start;

use std::process::ExitCode;

use create::Creation;
use presence::Presence;
use program::Engine;
use record::Record;

use crate::cli::{Arguments, Command, Global};
use crate::config::Config;
use crate::container;
use crate::error::{self, Error};
use crate::log::Log;

/// The commands that attach, check or release VFs. runvf refuses them if it cannot parse their
/// command line.
const VF_COMMANDS: [&str; 5] = ["create", "run", "restore", "start", "delete"];

/// A command on a container that another runtime creates or has created.
pub(crate) struct Delegated {
    engine: Engine,
    record: Option<Record>,
}

/// Selects the engine for a command. Returns `None` if libcontainer performs the command.
pub(crate) fn select(
    Arguments { global, command }: &Arguments,
    config: &Config,
    log: &Log,
) -> Result<Option<Delegated>, Error> {
    if let Some(id) = command.existing_id() {
        match Record::find(global, id) {
            Ok(Some(record)) => {
                match record.check_version(global, id) {
                    // Only `start` needs more of the record than the engine's name.
                    Err(newer) if matches!(command, Command::Start(_)) => return Err(newer),
                    Err(newer) => log.warn(&error::line(&newer)),
                    Ok(()) => {}
                }
                return Ok(Some(Delegated { engine: record.engine(), record: Some(record) }));
            }
            Ok(None) => {}
            // The record is incomplete, because the host crashed while runvf wrote it. `delete`
            // then tries the engine that is configured now, so that the container can be removed.
            Err(damaged) if matches!(command, Command::Delete(_)) => {
                log.warn(&error::line(&damaged));
            }
            Err(damaged) => return Err(damaged),
        }
        if container::made_by_libcontainer(global, id)? {
            return Ok(None);
        }
    }
    if let Some(id) = command.new_id() {
        check_id_unused(global, id)?;
    }
    let Some(name) = config.engine() else { return Ok(None) };
    Ok(Some(Delegated { engine: Engine::find(name)?, record: None }))
}

/// Passes a command line that runvf cannot parse to the engine, which may know more options. On
/// success it does not return. Returns `None` if no engine is configured or if the command needs VF
/// work, and an error if the engine cannot be executed.
pub(crate) fn try_unknown_command() -> Option<Error> {
    let config = Config::load().ok()?;
    let name = config.engine()?;
    let line = command_line::current();
    if command_line::command(&line).is_none_or(|command| VF_COMMANDS.contains(&command)) {
        return None;
    }
    match Engine::find(name) {
        Ok(engine) => Some(engine.exec(line)),
        Err(error) => Some(error),
    }
}

impl Delegated {
    /// Runs the command with the engine, and does its VF work.
    pub(crate) fn run(
        self,
        Arguments { global, command }: &Arguments,
        config: &Config,
        log: &Log,
    ) -> Result<ExitCode, Error> {
        let Self { engine, record } = self;
        let creation = |options| Creation { engine: engine.clone(), global, options, config, log };
        match command {
            Command::Create(options) => creation(options).create(),
            Command::Run(options) => creation(&options.create).run(options),
            Command::Start(options) => {
                start::check(&engine, record.as_ref(), global, &options.id)?;
                Err(engine.exec(command_line::current()))
            }
            Command::Restore(options) => restore::restore(&engine, global, options, config, log),
            Command::Delete(options) => {
                delete::delete(&engine, record.as_ref(), global, options, log)
            }
            _ => Err(engine.exec(command_line::current())),
        }
    }
}

/// Checks that no container under the same `--root` has the id, because claims identify a container
/// by its id.
fn check_id_unused(global: &Global, id: &str) -> Result<(), Error> {
    let exists = || Err(Error::Exists { id: id.to_owned() });
    if container::made_by_libcontainer(global, id)? {
        return exists();
    }
    let Ok(record) = Record::find(global, id) else {
        // A damaged record names no engine to ask.
        return Record::remove(global, id);
    };
    match record.map(|record| record.engine().presence(record.root.as_deref(), id)) {
        None => Ok(()),
        Some(Presence::Exists(_)) => exists(),
        // The record is left over from an interrupted create.
        Some(Presence::Missing) => Record::remove(global, id),
        Some(Presence::Unknown(error)) => Err(error),
    }
}
