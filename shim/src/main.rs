//! `runvf`: the OCI runtime that Docker, Podman and containerd call when a container shall have a VF.
//!
//! libcontainer makes the container, the crate `vf` gives it its VFs, and this crate holds the two together: the command
//! line that engines expect of a runtime (runc's), the order of the steps, and what an engine is told when one fails.
//! A container without an `io.runvf.*` annotation is a plain container: no code of `vf` runs for it. With an `engine` in
//! `runtime.toml` the host's own runtime takes libcontainer's place (`engine.rs`).
//!
//! A module imports only from those to the right of it:
//! `main` → `commands` → `libcontainer` → `tty` → `container` → `vf` → `config`, `log` → `cli`, `error`.
//! `engine` is beside `commands` and `libcontainer`: it needs neither of them. `seal` needs `error` alone.

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
mod seal;
mod tty;
mod vf;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::cli::{Arguments, Command};
use crate::commands::{
    create, delete, events, exec, features, kill, list, manual, pause, ps, run, spec, start, update,
};
use crate::config::Config;
use crate::error::Error;
use crate::libcontainer::errors;
use crate::log::Log;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => return refuse(&usage),
    };
    let log = match Log::open(&arguments.global) {
        Ok(log) => log,
        Err(error) => return Log::default().fail(&error),
    };
    let failure = arguments.command.failure_code();
    dispatch(arguments, &log).unwrap_or_else(|error| {
        log.fail(&error);
        failure
    })
}

/// Help and version go to stdout; a wrong command line is an error like any other, in the log too.
fn refuse(usage: &clap::Error) -> ExitCode {
    if matches!(usage.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nobody is left to be told that stdout is closed.
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

/// What clap says before it goes on to tips and usage.
fn first_paragraph(text: &str) -> String {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let lines = text.lines().take_while(|line| !line.is_empty());
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

fn dispatch(arguments: Arguments, log: &Log) -> Result<ExitCode, Error> {
    // They are about runvf's own command line, whoever makes the containers.
    match &arguments.command {
        Command::Completion { shell } => return Ok(manual::complete(*shell)),
        Command::Man { folder } => return manual::write(folder),
        _ => {}
    }
    let config = match Config::load() {
        Err(error) if arguments.command.new_id().is_some() => return Err(error),
        // What it says matters for new containers. The others must stay manageable.
        Err(error) => {
            log.warn(&error::line(&error));
            Config::default()
        }
        Ok(config) => config,
    };
    if let Some(delegated) = engine::select(&arguments, &config, log)? {
        return delegated.perform(&arguments, &config, log);
    }
    let Arguments { global, command } = arguments;
    if command.enters_a_container() {
        seal::ensure()?;
        // CVE-2016-9962: what we fork is in the container's pid namespace before it is the container's process, and no
        // longer has more capabilities than that when it waits. Undumpable, its descriptors are nobody's but the
        // host's root's, proc(5). execve(2) takes it back. runc does the same (`nsexec.c`).
        nix::sys::prctl::set_dumpable(false).map_err(Error::kernel("hide this process"))?;
    }
    errors::install(log, global.debug)?;
    let done = match command {
        Command::Create(options) => create::create(&global, &options, &config, log).map(drop),
        Command::Start(options) => start::start(&global, &options.id),
        Command::Run(options) => return run::run(&global, &options, &config, log),
        Command::Exec(options) => return exec::exec(&global, &options),
        Command::State(options) => list::state(&global, &options.id),
        Command::List(options) => list::list(&global, &options),
        Command::Kill(options) => kill::kill(&global, &options),
        Command::Delete(options) => delete::delete(&global, &options, log),
        Command::Pause(options) => pause::pause(&global, &options.id),
        Command::Resume(options) => pause::resume(&global, &options.id),
        Command::Ps(options) => ps::ps(&global, &options),
        Command::Update(options) => update::update(&global, &options),
        Command::Events(options) => events::events(&global, &options),
        Command::Checkpoint(_) => Err(Error::NoCheckpoint { command: "checkpoint" }),
        Command::Restore(_) => Err(Error::NoCheckpoint { command: "restore" }),
        Command::Features => features::print(),
        Command::Spec(options) => spec::write(&options),
        // Done before.
        Command::Completion { .. } | Command::Man { .. } => Ok(()),
    };
    done.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_one_line() {
        let usage = Arguments::try_parse_from(["runvf", "create", "--nonsense", "x"])
            .expect_err("must be refused");
        assert_eq!(first_paragraph(&usage.to_string()), "unexpected argument '--nonsense' found");
        let usage = Arguments::try_parse_from(["runvf", "--rootless", "true", "list"])
            .expect_err("must be refused");
        assert!(first_paragraph(&usage.to_string()).contains("runvf runs as root only"));
    }
}
