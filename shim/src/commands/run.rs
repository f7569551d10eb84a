//! `run`: create, start, wait, delete. If a step after `create` fails, the container is deleted and
//! its VFs are released.

use std::path::Path;
use std::process::ExitCode;

use nix::unistd::Pid;

use super::create;
use super::delete;
use super::start;
use crate::cli::{self, Global};
use crate::config::Config;
use crate::container;
use crate::error::Error;
use crate::log::Log;
use crate::tty::foreground;
use crate::tty::streams::Streams;
use crate::tty::terminal::Console;

pub(crate) fn run(
    global: &Global,
    options: &cli::Run,
    config: &Config,
    log: &Log,
) -> Result<ExitCode, Error> {
    let terminal = wants_terminal(&options.create.bundle)?;
    let console = Console::new(terminal, options.detach, options.create.console_socket.as_deref())?;
    let mut create = options.create.clone();
    create.console_socket = console.socket();
    let (streams, ends) = Streams::if_wanted(!terminal && !options.detach)?;
    let container = create::create(global, &create, ends, config, log)?;
    let result = start_and_wait(global, options, container.init(), console, streams);
    if result.is_ok() && (options.detach || options.keep) {
        return result;
    }
    let options = cli::Delete { force: true, id: create.id };
    match (result, delete::delete(global, &options, log)) {
        (result, Ok(())) => result,
        (Ok(_), Err(then)) => Err(then),
        (Err(first), Err(then)) => Err(first.followed_by(&then)),
    }
}

fn start_and_wait(
    global: &Global,
    options: &cli::Run,
    init: Option<Pid>,
    console: Console,
    streams: Option<Streams>,
) -> Result<ExitCode, Error> {
    let id = &options.create.id;
    let pid = init.ok_or_else(|| Error::NotRunning { id: id.clone() })?;
    let terminal = console.terminal()?;
    start::start(global, id)?;
    if options.detach {
        return Ok(ExitCode::SUCCESS);
    }
    foreground::wait(pid, terminal, streams)
}

fn wants_terminal(bundle: &Path) -> Result<bool, Error> {
    let spec = container::load_spec(bundle)?;
    Ok(spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false))
}
