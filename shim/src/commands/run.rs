//! `run`: create, start, wait, delete. If a step after `create` fails, the container is deleted and
//! its VFs are released.

use std::process::ExitCode;

use nix::unistd::Pid;

use super::create::{self, Bundle};
use super::delete;
use super::start;
use crate::cli::{self, Global};
use crate::config::Config;
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
    let bundle = Bundle::open(&options.create)?;
    let terminal = bundle.wants_terminal();
    let console = Console::new(terminal, options.detach, options.create.console_socket.as_deref())?;
    let mut create = options.create.clone();
    create.console_socket = console.socket();
    let (streams, ends) = Streams::if_wanted(!terminal && !options.detach)?;
    let container = create::create(global, &create, bundle, ends, config, log)?;
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
