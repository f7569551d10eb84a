//! `runvf-monitor`: the service that watches attached VFs.
//!
//! It is optional. Attach and release never need it, and `runvf-gc.timer` does the same work each
//! minute. It changes things only through `vf`, under the locks of `vf`, so killing it at any
//! moment harms nothing.

mod config;
mod error;
mod events;
mod history;
#[cfg(test)]
mod invented;
mod log;
mod metrics;
mod monitor;
mod page;
mod pfs;
mod react;
mod server;
mod service;
mod state;
mod totals;
mod view;
mod watches;
#[cfg(test)]
mod with_tools;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use vf::Host;

use config::Config;
use error::Error;
use monitor::Monitor;
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
        // The name that a waiting process finds in a lock file.
        .thread_name("runvf-monitor")
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(Error::Runtime)?;
    let result = runtime.block_on(service::until_signal(
        async {
            tokio::try_join!(
                Monitor::new(state.clone()).run(service::ready),
                serve(config, state.clone())
            )
            .map(drop)
        },
        &state,
    ));
    // Work that is in a system call of a driver would not end. Its death harms nothing.
    runtime.shutdown_timeout(END_TIMEOUT);
    result
}

/// A server that fails, for example because its address is in use, must not end the reactions.
async fn serve(config: Arc<Config>, state: Arc<State>) -> Result<(), Error> {
    if let Err(error) = server::serve(config, state).await {
        log::warning(format!("metrics and page are not served: {error}"));
    }
    std::future::pending().await
}

/// At most this many calls into `vf` run at once. Each may wait for a lock or for the kernel.
const BLOCKING_THREADS: usize = 32;

/// How long work that runs may take at the end of the monitor.
const END_TIMEOUT: Duration = Duration::from_secs(3);
