//! `runvf-hook`: the OCI hooks for engines that keep their own runtime.

mod attach;
mod detach;
mod error;
#[cfg(test)]
mod hostile;
mod report;
mod state;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::state::State;

/// Gives a container its SR-IOV VFs and takes them back, as OCI hooks
///
/// An engine runs it with the container's state on stdin; `hooks.d` says when.
#[derive(Parser)]
#[command(name = "runvf-hook", version)]
struct Arguments {
    #[command(subcommand)]
    hook: Hook,
}

#[derive(Subcommand)]
enum Hook {
    /// createRuntime: bring the VFs that the annotations ask for into the container
    Attach,
    /// poststop: take the container's VFs back and clean them
    Detach,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let state = State::read(std::io::stdin().lock());
    let done = match (&state, arguments.hook) {
        (Ok(state), Hook::Attach) => attach::run(state),
        (Ok(state), Hook::Detach) => {
            detach::run(state);
            Ok(())
        }
        (Err(_), _) => Ok(()),
    };
    let error = match (&state, done) {
        (Ok(_), Ok(())) => return ExitCode::SUCCESS,
        (Ok(_), Err(error)) => error.line(),
        (Err(error), _) => error.line(),
    };
    report::report(&error);
    ExitCode::FAILURE
}
