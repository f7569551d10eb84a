//! Steps of the build that report their progress on standard error.

use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

use crate::cache::Cache;
use crate::error::{Error, Result, at};
use crate::logs::tail;

const REPORT_INTERVAL: Duration = Duration::from_secs(10);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Runs a command with its output in a log of the cache.
pub(crate) fn run_logged(cache: &Cache, what: &str, command: &mut Command) -> Result<()> {
    let log = cache.logs().join(format!("{}.log", what.replace(' ', "-")));
    let file = File::create(&log).map_err(at(&log))?;
    let stderr = file.try_clone().map_err(at(&log))?;
    let mut child =
        command.stdin(Stdio::null()).stdout(file).stderr(stderr).spawn().map_err(|source| {
            Error::Spawn { program: format!("{:?}", command.get_program()), source }
        })?;
    let started = Instant::now();
    loop {
        let ended = child.wait_timeout(REPORT_INTERVAL).map_err(at(&log))?;
        match ended {
            Some(status) if status.success() => {
                report_end(what, started);
                return Ok(());
            }
            Some(_) => return Err(Error::Build { what: what.into(), tail: tail(&log), log }),
            None if started.elapsed() < COMMAND_TIMEOUT => report_running(what, started),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                let (what, so_far) = (what.to_owned(), tail(&log));
                return Err(Error::Timeout { what, after: COMMAND_TIMEOUT, so_far });
            }
        }
    }
}

/// Calls `work`, and reports in the meantime that it is running.
pub(crate) fn with_progress<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let (done, waiting) = mpsc::channel::<()>();
    let name = what.to_owned();
    let ticker = thread::spawn(move || {
        while waiting.recv_timeout(REPORT_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            report_running(&name, started);
        }
    });
    let result = work();
    drop(done);
    let _ = ticker.join();
    if result.is_ok() {
        report_end(what, started);
    }
    result
}

fn report_running(what: &str, started: Instant) {
    eprintln!("lab: {what}: {} s …", started.elapsed().as_secs());
}

fn report_end(what: &str, started: Instant) {
    eprintln!("lab: {what}: done in {} s", started.elapsed().as_secs());
}
