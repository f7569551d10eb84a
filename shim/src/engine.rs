//! Containers that another runtime makes: with `engine` in `runtime.toml` runvf does the VF work and nothing else, and hands
//! everything to runc or crun.
//!
//! What needs no VF work goes to the engine by exec(3), with the command line as it was typed. A container that was made
//! stays with whoever made it: [`Record`] names its engine, and libcontainer's has files of its own under `--root`. So a
//! changed `runtime.toml` is true for new containers only, and a broken one keeps nobody from removing an old one.

mod bundle;
mod command_line;
mod create;
mod delete;
#[cfg(test)]
mod hostile;
mod program;
mod record;
mod restore;

use std::process::ExitCode;

use create::Creation;
use program::Engine;
use record::Record;

use crate::cli::{Arguments, Command, Global};
use crate::config::Config;
use crate::container;
use crate::error::{self, Error};
use crate::log::Log;
use crate::vf::check_vfs;

/// What a container's VFs depend on. Such a command must be understood, or it is not done.
const VF_COMMANDS: [&str; 5] = ["create", "run", "restore", "start", "delete"];

pub(crate) struct Delegated {
    engine: Engine,
    record: Option<Record>,
}

/// `None`: libcontainer shall do it.
pub(crate) fn select(
    Arguments { global, command }: &Arguments,
    config: &Config,
    log: &Log,
) -> Result<Option<Delegated>, Error> {
    if let Some(id) = command.existing_id() {
        match Record::find(global, id) {
            Ok(Some(record)) => {
                return Ok(Some(Delegated { engine: record.engine(), record: Some(record) }));
            }
            Ok(None) => {}
            // Written in part when the machine died. The engine of today is a guess, and better than none.
            Err(bad) if matches!(command, Command::Delete(_)) => log.warn(&error::line(&bad)),
            Err(bad) => return Err(bad),
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

/// For a command line that runvf does not understand: perhaps the engine does. Returns if there is none, or if it cannot be.
pub(crate) fn try_unknown_command() -> Option<Error> {
    let config = Config::load().ok()?;
    let name = config.engine()?;
    let line = command_line::typed();
    if command_line::command(&line).is_none_or(|command| VF_COMMANDS.contains(&command)) {
        return None;
    }
    match Engine::find(name) {
        Ok(engine) => Some(engine.exec(line)),
        Err(error) => Some(error),
    }
}

impl Delegated {
    pub(crate) fn perform(
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
                if let Some(request) = record.map(|record| record.request()).transpose()?.flatten()
                {
                    let pid = engine.init_pid(global.root.as_deref(), &options.id)?;
                    check_vfs(&request, &options.id, pid)?;
                }
                Err(engine.exec(command_line::typed()))
            }
            Command::Restore(options) => restore::restore(&engine, global, options, config),
            Command::Delete(options) => {
                delete::delete(&engine, record.as_ref(), global, options, log)
            }
            _ => Err(engine.exec(command_line::typed())),
        }
    }
}

/// Whoever makes a container, its id must not be another's: the claims on VFs go by it.
fn check_id_unused(global: &Global, id: &str) -> Result<(), Error> {
    let exists = || Err(Error::Exists { id: id.to_owned() });
    if container::made_by_libcontainer(global, id)? {
        return exists();
    }
    match Record::find(global, id) {
        Ok(None) => Ok(()),
        Ok(Some(record)) if record.is_alive(id) => exists(),
        // Left by a creation that was cut short.
        _ => Record::remove(global, id),
    }
}
