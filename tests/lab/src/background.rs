//! A guest for interactive use, which a background process keeps running: one of each
//! kind.
//!
//! The commands `lab up`, `lab shell`, `lab run` and `lab down` use it. The process that runs the
//! guest holds a file lock while it lives, so a leftover state file never counts as a running
//! guest.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, SigSet, Signal};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::build;
use crate::cache::Cache;
use crate::command::status_code;
use crate::error::{Error, Result, at};
use crate::guest::lab::Lab;
use crate::guest::ssh;
use crate::lock::{lock, try_lock};
use crate::logs::tail;
use crate::qemu::host_kind::HostKind;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The running guest, as its process describes it in the state file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct BackgroundGuest {
    pub pid: i32,
    /// ssh's control socket.
    pub control: PathBuf,
    pub transcript: PathBuf,
}

struct Files {
    state: PathBuf,
    lock: PathBuf,
}

fn files(kind: HostKind) -> Result<Files> {
    let root = Cache::open()?.root().to_owned();
    let file = |extension| root.join(kind.background_file(extension));
    Ok(Files { state: file("json"), lock: file("lock") })
}

/// Restores a guest and keeps it running until SIGINT or SIGTERM.
pub fn serve(kind: HostKind) -> Result<()> {
    let files = files(kind)?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Before any thread starts: threads inherit the mask, and so the signals stay pending until
    // `wait` below.
    signals.thread_block().map_err(|errno| at("signal mask")(errno.into()))?;
    // A concurrent `find` holds the lock only for a moment; another `serve` holds it longer than
    // the timeout.
    let _lock = lock(&files.lock, LOCK_TIMEOUT)?;
    let _ = fs::remove_file(&files.state);

    let lab = Lab::restore_with(kind)?;
    let guest = BackgroundGuest {
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        control: lab.control(),
        transcript: lab.transcript().to_owned(),
    };
    let unfinished = files.state.with_extension("unfinished");
    fs::write(&unfinished, serde_json::json!(guest).to_string()).map_err(at(&unfinished))?;
    fs::rename(&unfinished, &files.state).map_err(at(&files.state))?;
    eprintln!(
        "lab: the guest is up; open a shell with `lab shell`, end it with `lab down` or Ctrl-C"
    );
    let _ = signals.wait();
    let _ = fs::remove_file(&files.state);
    Ok(())
}

/// Returns the running guest, or `None`.
pub fn find(kind: HostKind) -> Result<Option<BackgroundGuest>> {
    let files = files(kind)?;
    if try_lock(&files.lock)?.is_some() {
        return Ok(None);
    }
    match fs::read(&files.state) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        // The process holds the lock, but its guest is not ready yet.
        Err(_) => Ok(None),
    }
}

/// Returns the running guest, and starts one in the background if there is none. `server` is a
/// command that calls [`serve`].
pub fn find_or_start(kind: HostKind, mut server: Command) -> Result<BackgroundGuest> {
    if let Some(guest) = find(kind)? {
        return Ok(guest);
    }
    // Here and not in the server, so that the user sees the progress.
    build::ensure_image(kind)?;
    let log = Cache::open()?.logs().join(kind.background_file("log"));
    // Not this process's standard error: a pipe that reads it would stay open as long as the guest.
    let stderr = fs::File::create(&log).map_err(at(&log))?;
    // A process group of its own, so that Ctrl-C in this terminal does not end the guest.
    let mut child = server
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .map_err(|source| Error::Spawn { program: "lab up".into(), source })?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if let Some(guest) = find(kind)? {
            return Ok(guest);
        }
        if let Ok(Some(status)) = child.try_wait() {
            let what = format!("`lab up` exited with status {}", status_code(status));
            return Err(Error::Machine { what, console: tail(&log) });
        }
        if Instant::now() >= deadline {
            let (what, so_far) = ("lab up".to_owned(), String::new());
            return Err(Error::Timeout { what, after: START_TIMEOUT, so_far });
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Ends the running guest and waits for the end of its process. Returns whether a guest was
/// running.
pub fn stop(kind: HostKind) -> Result<bool> {
    let Some(guest) = find(kind)? else { return Ok(false) };
    // The lock is held, so the process that wrote this process id is alive and the id is valid.
    signal::kill(Pid::from_raw(guest.pid), Signal::SIGTERM)
        .map_err(|errno| at(format!("process {}", guest.pid))(errno.into()))?;
    lock(&files(kind)?.lock, STOP_TIMEOUT).map(|_| true)
}

/// An ssh client that uses this terminal and runs `script`, or a login shell if `script` is empty.
pub fn terminal_command(control: &Path, script: &str, tty: bool) -> Command {
    let mut command = ssh::client_command(control, script, tty);
    command.stdin(Stdio::inherit());
    command
}
