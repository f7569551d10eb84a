//! `runvf`: an OCI runtime that attaches SR-IOV VFs to a container before its process starts.
//!
//! libcontainer creates the container, and the crate `vf` attaches the VFs. This crate connects the
//! two: it implements runc's command line, which Docker, Podman and containerd expect, it orders
//! the steps, and it reports errors to the engine. A container without an `io.runvf.*` annotation
//! is a plain container: no code of `vf` runs for it, unless its spec moves netdevs of the host. With `engine` in `runtime.toml`, a runtime of
//! the host (runc or crun) replaces libcontainer (`engine.rs`).
//!
//! A module imports only from modules to the right of it:
//! `main` → `commands` → `libcontainer` → `tty` → `resources` → `container` → `vf` → `config`,
//! `log` → `cli`, `error`.
//! `engine` is beside `commands` and `libcontainer` and imports neither of them. `seal` imports
//! only `error`, and `panic` only `libcontainer`, `log` and `error`.

mod cli;
mod commands;
mod config;
mod container;
mod engine;
mod error;
#[cfg(test)]
mod hostile;
mod libcontainer;
mod log;
mod panic;
mod resources;
mod seal;
mod tty;
mod vf;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::cli::{Arguments, Command};
use crate::commands::create::Bundle;
use crate::commands::{
    create, delete, events, exec, features, kill, list, manual, pause, ps, run, spec, start, update,
};
use crate::config::Config;
use crate::error::Error;
use crate::libcontainer::errors;
use crate::log::Log;

fn main() -> ExitCode {
    panic::report_to(&Log::default(), 1);
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => return handle_usage(&usage),
    };
    let log = match Log::open(&arguments.global) {
        Ok(log) => log,
        Err(error) => return Log::default().fail(&error),
    };
    let failure = arguments.command.failure_code();
    panic::report_to(&log, failure);
    match dispatch(arguments, &log) {
        Ok(code) => {
            log.succeed();
            code
        }
        Err(error) => {
            log.fail(&error);
            ExitCode::from(failure)
        }
    }
}

/// Prints the help or the version to stdout, or reports an invalid command line on stderr and in
/// the log.
fn handle_usage(usage: &clap::Error) -> ExitCode {
    if matches!(usage.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // This fails only if stdout is closed, and then there is no reader.
        let _ = usage.print();
        if usage.kind() == ErrorKind::DisplayVersion {
            features::print_engine();
        }
        return ExitCode::SUCCESS;
    }
    let text = usage.to_string();
    let problem = first_paragraph(&text);
    let log = Log::open_from_args(std::env::args_os().skip(1)).unwrap_or_default();
    log.fail(&engine::try_unknown_command().unwrap_or(Error::Usage { problem }))
}

/// The first paragraph of a clap error. Tips and the usage follow in later paragraphs.
fn first_paragraph(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines = text.lines().take_while(|line| !line.is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

fn dispatch(arguments: Arguments, log: &Log) -> Result<ExitCode, Error> {
    // These describe runvf's own command line and need neither a configuration nor an engine.
    match &arguments.command {
        Command::Completion { shell } => return Ok(manual::complete(*shell)),
        Command::Man { folder } => return manual::write(folder),
        _ => {}
    }
    let config = match Config::load() {
        Err(error) if arguments.command.new_id().is_some() => return Err(error),
        // Only a new container depends on the configuration. Existing containers must stay
        // manageable.
        Err(error) => {
            log.warn(&error::line(&error));
            Config::default()
        }
        Ok(config) => config,
    };
    if let Some(delegated) = engine::select(&arguments, &config, log)? {
        return delegated.run(&arguments, &config, log);
    }
    let Arguments { global, command } = arguments;
    if command.enters_container() {
        seal::ensure()?;
        // CVE-2016-9962: the forked child is in the container's pid namespace before it executes
        // the container's program. While it waits it has no more capabilities than the container,
        // so a process of the container could open its descriptors. A process that is not dumpable
        // gives them only to root on the host, proc(5). execve(2) makes the process dumpable again.
        // runc does the same (`nsexec.c`).
        nix::sys::prctl::set_dumpable(false)
            .map_err(Error::kernel("make this process undumpable"))?;
    }
    errors::install(log, global.debug)?;
    let done = match command {
        Command::Create(options) => Bundle::open(&options)
            .and_then(|bundle| create::create(&global, &options, bundle, None, &config, log))
            .map(drop),
        Command::Start(options) => start::start(&global, &options.id),
        Command::Run(options) => return run::run(&global, &options, &config, log),
        Command::Exec(options) => return exec::exec(&global, &options, log),
        Command::State(options) => list::state(&global, &options.id),
        Command::List(options) => list::list(&global, &options),
        Command::Kill(options) => kill::kill(&global, &options),
        Command::Delete(options) => delete::delete(&global, &options, log),
        Command::Pause(options) => pause::pause(&global, &options.id),
        Command::Resume(options) => pause::resume(&global, &options.id),
        Command::Ps(options) => ps::ps(&global, &options),
        Command::Update(options) => update::update(&global, &options, log),
        Command::Events(options) => events::events(&global, &options),
        Command::Checkpoint(_) => Err(Error::NoCheckpoint { command: "checkpoint" }),
        Command::Restore(_) => Err(Error::NoCheckpoint { command: "restore" }),
        Command::Features => features::print(),
        Command::Spec(options) => spec::write(&options),
        // Handled above.
        Command::Completion { .. } | Command::Man { .. } => Ok(()),
    };
    done.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_fits_on_one_line() {
        let usage = Arguments::try_parse_from(["runvf", "create", "--nonsense", "x"])
            .expect_err("the command line is invalid");
        assert_eq!(first_paragraph(&usage.to_string()), "unexpected argument '--nonsense' found");
        let usage = Arguments::try_parse_from(["runvf", "--rootless", "true", "list"])
            .expect_err("the command line is invalid");
        assert!(
            first_paragraph(&usage.to_string())
                .contains("runvf must run as root: only root can move a VF")
        );
    }
}
