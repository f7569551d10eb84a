//! `runvf-monitor`: the service that watches attached VFs.
//!
//! It is optional. Attach and release never need it, and `runvf-gc.timer` does the same work each
//! minute. It changes things only through `vf`, under the locks of `vf`, so killing it at any
//! moment harms nothing.

mod config;
mod error;
mod history;
#[cfg(test)]
mod invented;
mod metrics;
mod page;
mod server;
mod state;
mod totals;
mod view;
#[cfg(test)]
mod with_tools;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use vf::Host;

use config::Config;
use error::Error;
use state::State;

/// Watch attached VFs: re-arm, set back, stop and release within a second, and show metrics
#[derive(Parser)]
#[command(name = "runvf-monitor", version)]
struct Arguments {
    /// The monitor's configuration
    #[arg(long, value_name = "FILE", default_value = config::FILE)]
    config: PathBuf,
    /// Check the configuration and exit
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("runvf-monitor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let config = Arc::new(Config::read(&arguments.config)?);
    if arguments.check {
        return Ok(());
    }
    let state = Arc::new(State::new(Host::default()));
    // One thread for all events: an idle monitor needs no more, and the work on VFs runs on
    // blocking threads.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(Error::Runtime)?;
    runtime.block_on(server::serve(config, state))
}

/// At most this many calls into `vf` run at once. Each may wait for a lock or for the kernel.
const BLOCKING_THREADS: usize = 8;
