//! One QEMU process and everything that goes away with it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::build::image::Tools;
use crate::error::{Error, Result, at};
use crate::qemu::hardware::{Memory, Parts, arguments};
use crate::qemu::qmp::Qmp;

const START: Duration = Duration::from_secs(20);

pub(crate) struct Machine {
    process: Mutex<Child>,
    /// Dropped last: it lets the thread go whose death would kill QEMU.
    _keeper: mpsc::Sender<()>,
    folder: TempDir,
    console: PathBuf,
    qmp: Mutex<Qmp>,
}

impl Machine {
    /// Starts QEMU, with the guest stopped before its first instruction if `extra` says so.
    pub(crate) fn start(
        tools: &Tools,
        parts: &Parts<'_>,
        memory: Memory,
        extra: &[&str],
        folder: TempDir,
        console: PathBuf,
    ) -> Result<Self> {
        let socket = folder.path().join("qmp");
        let stderr = folder.path().join("qemu.stderr");
        let mut command = tools.qemu();
        command.args(arguments(parts, memory)).args(extra);
        command.args(["-serial", &format!("file:{}", console.display())]);
        command.args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&stderr).map_err(at(&stderr))?);
        let (mut process, keeper) = spawn_kept(command)?;

        let qmp = first_contact(&mut process, &socket);
        let qmp = qmp.map_err(|error| {
            let _ = process.kill();
            let _ = process.wait();
            let what = format!("{error}\n{}", tail(&stderr));
            Error::Machine { what, console: tail(&console) }
        })?;
        Ok(Self {
            process: Mutex::new(process),
            _keeper: keeper,
            folder,
            console,
            qmp: Mutex::new(qmp),
        })
    }

    /// Puts the snapshot's devices back and lets the guest run on.
    pub(crate) fn resume(&self, state: &Path) -> Result<()> {
        self.with_qmp(|qmp| {
            ignore_shared_memory(qmp)?;
            qmp.run("migrate-incoming", json!({ "uri": format!("file:{}", state.display()) }))?;
            let status = qmp.until_not("query-status", "status", &["inmigrate"], START)?;
            if status != "paused" && status != "postmigrate" {
                return Err(Error::Qmp {
                    command: "migrate-incoming".into(),
                    what: format!("the guest is {status}"),
                });
            }
            qmp.run("cont", json!({})).map(drop)
        })
    }

    /// Stops the guest for good and writes its devices' state; its memory is in the file already.
    pub(crate) fn freeze(self, state: &Path) -> Result<()> {
        self.with_qmp(|qmp| {
            qmp.run("stop", json!({}))?;
            ignore_shared_memory(qmp)?;
            qmp.run("migrate", json!({ "uri": format!("file:{}", state.display()) }))?;
            let pending = ["none", "setup", "active", "device"];
            let status =
                qmp.until_not("query-migrate", "status", &pending, Duration::from_secs(60))?;
            if status != "completed" {
                return Err(Error::Qmp {
                    command: "migrate".into(),
                    what: format!("the snapshot is {status}"),
                });
            }
            qmp.run("quit", json!({})).map(drop)
        })?;
        // The disk is whole only when QEMU has closed it.
        let deadline = Instant::now() + START;
        while self.alive() {
            if Instant::now() >= deadline {
                return Err(self.failed("does not quit"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub(crate) fn reset(&self) -> Result<()> {
        self.with_qmp(|qmp| qmp.run("system_reset", json!({})).map(drop))
    }

    /// The loopback port behind which the guest's sshd is. QEMU took a free one itself: choosing it
    /// here would be a race.
    pub(crate) fn port(&self) -> Result<u16> {
        let arguments = json!({ "command-line": "info usernet" });
        let table = self.with_qmp(|qmp| qmp.run("human-monitor-command", arguments))?;
        let table = table.as_str().unwrap_or_default();
        let forward = table.lines().find(|line| line.contains("HOST_FORWARD"));
        let port = forward
            .and_then(|line| line.split_whitespace().nth(3))
            .and_then(|port| port.parse().ok());
        port.ok_or_else(|| self.failed(&format!("no forwarded port in\n{table}")))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn alive(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        matches!(process.try_wait(), Ok(None))
    }

    /// All that the guest printed so far.
    pub(crate) fn console(&self) -> Vec<u8> {
        fs::read(&self.console).unwrap_or_default()
    }

    pub(crate) fn failed(&self, what: &str) -> Error {
        let what = format!("{what}\n{}", tail(&self.folder.path().join("qemu.stderr")));
        Error::Machine { what, console: tail(&self.console) }
    }

    fn with_qmp<T>(&self, ask: impl FnOnce(&mut Qmp) -> Result<T>) -> Result<T> {
        let mut qmp = self.qmp.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        ask(&mut qmp).map_err(|error| self.failed(&error.to_string()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn ignore_shared_memory(qmp: &mut Qmp) -> Result<()> {
    let capability = json!({ "capability": "x-ignore-shared", "state": true });
    qmp.run("migrate-set-capabilities", json!({ "capabilities": [capability] })).map(drop)
}

/// Spawns from a thread that stays until the sender is dropped. The parent-death signal belongs to
/// the *thread* that forked, and a test's thread ends before a `Lab` that tests share.
fn spawn_kept(mut command: Command) -> Result<(Child, mpsc::Sender<()>)> {
    // SAFETY: prctl(2) is async-signal-safe and the closure allocates nothing.
    unsafe {
        command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into));
    }
    let (keeper, released) = mpsc::channel::<()>();
    let (hand_over, spawned) = mpsc::channel();
    thread::spawn(move || {
        let _ = hand_over.send(command.spawn());
        let _ = released.recv();
    });
    let failed = |source| Error::Spawn { program: "qemu-system-x86_64".into(), source };
    let child =
        spawned.recv().map_err(|_| failed(std::io::Error::other("the spawning thread died")))?;
    Ok((child.map_err(failed)?, keeper))
}

fn first_contact(process: &mut Child, socket: &Path) -> Result<Qmp> {
    let deadline = Instant::now() + START;
    loop {
        match Qmp::connect(socket) {
            Ok(qmp) => return Ok(qmp),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => {}
        }
        if let Ok(Some(status)) = process.try_wait() {
            return Err(Error::Qmp {
                command: "connect".into(),
                what: format!("QEMU ended at once: {status}"),
            });
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The end of a log, for an error message.
pub(crate) fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(25)..];
    format!("--- end of {}\n{}", path.display(), last.join("\n"))
}
