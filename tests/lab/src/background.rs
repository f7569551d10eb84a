//! A guest that stays for a person: `lab up`, `lab shell`, `lab run`, `lab down`.
//!
//! Whoever runs it holds a lock for as long as it lives, so "is it running" is never a guess from
//! an old file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, SigSet, Signal};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::build::image;
use crate::cache::{Cache, lock, try_lock};
use crate::command;
use crate::error::{Error, Result, at};
use crate::guest::lab::Lab;
use crate::guest::ssh;
use crate::qemu::machine;

const UP: Duration = Duration::from_secs(60);
const DOWN: Duration = Duration::from_secs(20);

/// The guest that is up.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Standing {
    pub pid: i32,
    pub control: PathBuf,
    pub transcript: PathBuf,
}

struct Files {
    state: PathBuf,
    lock: PathBuf,
}

fn files() -> Result<Files> {
    let root = Cache::open()?.root().to_owned();
    Ok(Files { state: root.join("up.json"), lock: root.join("up.lock") })
}

/// Restores a guest and keeps it until SIGINT or SIGTERM.
pub fn serve() -> Result<()> {
    let files = files()?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Before any thread starts, so that all inherit it and the signal waits for `wait` below.
    signals.thread_block().map_err(|errno| at("signal mask")(errno.into()))?;
    // A second `lab up` finds it held for good, a `find` at the same moment only for that moment.
    let _lock = lock(&files.lock, Duration::from_secs(2))?;
    let _ = fs::remove_file(&files.state);

    let lab = Lab::restore()?;
    let standing = Standing {
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        control: lab.control(),
        transcript: lab.transcript().to_owned(),
    };
    let unfinished = files.state.with_extension("unfinished");
    fs::write(&unfinished, serde_json::json!(standing).to_string()).map_err(at(&unfinished))?;
    fs::rename(&unfinished, &files.state).map_err(at(&files.state))?;
    eprintln!("lab: up; `lab shell` opens a shell in it, `lab down` or Ctrl-C ends it");
    let _ = signals.wait();
    let _ = fs::remove_file(&files.state);
    Ok(())
}

/// The guest that is up, or `None`.
pub fn find() -> Result<Option<Standing>> {
    let files = files()?;
    if try_lock(&files.lock)?.is_some() {
        return Ok(None);
    }
    match fs::read(&files.state) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        // It holds the lock and is not ready yet.
        Err(_) => Ok(None),
    }
}

/// The guest that is up; a new one in the background if none is. `server` is the command that calls
/// [`serve`].
pub fn ensure(mut server: Command) -> Result<Standing> {
    use std::os::unix::process::CommandExt;
    if let Some(standing) = find()? {
        return Ok(standing);
    }
    // Here and not in the server, so that its progress is seen.
    image::ensure()?;
    let log = Cache::open()?.logs().join("up.log");
    // Not this terminal's: a pipe behind `lab up --detach` would stay open as long as the guest.
    let stderr = fs::File::create(&log).map_err(at(&log))?;
    // A process group of its own: Ctrl-C in this terminal is not meant for the guest.
    let mut child = server
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .map_err(|source| Error::Spawn { program: "lab up".into(), source })?;
    let deadline = Instant::now() + UP;
    loop {
        if let Some(standing) = find()? {
            return Ok(standing);
        }
        if let Ok(Some(status)) = child.try_wait() {
            let what = format!("`lab up` ended with {}", command::code(status));
            return Err(Error::Machine { what, console: machine::tail(&log) });
        }
        if Instant::now() >= deadline {
            return Err(Error::Timeout { what: "lab up".into(), after: UP, so_far: String::new() });
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Ends the guest that is up, if any, and waits until it is gone.
pub fn stop() -> Result<bool> {
    let Some(standing) = find()? else { return Ok(false) };
    // The lock is held, so the process that wrote this id lives and the id is still its own.
    signal::kill(Pid::from_raw(standing.pid), Signal::SIGTERM)
        .map_err(|errno| at(format!("process {}", standing.pid))(errno.into()))?;
    lock(&files()?.lock, DOWN).map(|_| true)
}

/// `ssh` into the guest with this terminal; an empty `script` is a login shell.
pub fn terminal(control: &Path, script: &str, tty: bool) -> Command {
    let mut command = ssh::through(control, script, tty);
    command.stdin(Stdio::inherit());
    command
}
