//! One QEMU process, with its control socket and its temporary folder.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::error::{Error, Result, at};
use crate::logs::tail;
use crate::qemu::hardware::{Memory, Parts, arguments};
use crate::qemu::qmp::Qmp;
use crate::qemu::tools::Tools;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const EXIT_TIMEOUT: Duration = Duration::from_secs(20);
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);

/// A virtual machine. Dropping it kills QEMU and removes its folder.
pub(crate) struct Machine {
    process: Mutex<Child>,
    /// Keeps the parent thread of QEMU alive, see [`spawn_from_parent_thread`].
    _parent_thread: mpsc::Sender<()>,
    folder: TempDir,
    console: PathBuf,
    qmp: Mutex<Qmp>,
}

impl Machine {
    /// Starts QEMU with `extra` arguments; `-incoming defer` among them keeps the guest from
    /// booting.
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
        let (mut process, parent_thread) = spawn_from_parent_thread(command)?;

        let qmp = connect_qmp(&mut process, &socket).map_err(|error| {
            let _ = process.kill();
            let _ = process.wait();
            let what = format!("{error}\n{}", tail(&stderr));
            Error::Machine { what, console: tail(&console) }
        })?;
        Ok(Self {
            process: Mutex::new(process),
            _parent_thread: parent_thread,
            folder,
            console,
            qmp: Mutex::new(qmp),
        })
    }

    /// Loads the device state of a snapshot and lets the guest continue.
    pub(crate) fn resume(&self, state: &Path) -> Result<()> {
        self.with_qmp(|qmp| {
            ignore_shared_memory(qmp)?;
            qmp.run("migrate-incoming", json!({ "uri": format!("file:{}", state.display()) }))?;
            let status = qmp.wait_while("query-status", "status", &["inmigrate"], START_TIMEOUT)?;
            if status != "paused" && status != "postmigrate" {
                return Err(Error::Qmp {
                    command: "migrate-incoming".into(),
                    what: format!("the status of the guest is {status}"),
                });
            }
            qmp.run("cont", json!({})).map(drop)
        })
    }

    /// Stops the guest, writes the state of its devices and quits QEMU. The memory is already in
    /// its file.
    pub(crate) fn freeze(self, state: &Path) -> Result<()> {
        self.with_qmp(|qmp| {
            qmp.run("stop", json!({}))?;
            ignore_shared_memory(qmp)?;
            qmp.run("migrate", json!({ "uri": format!("file:{}", state.display()) }))?;
            let pending = ["none", "setup", "active", "device"];
            let status = qmp.wait_while("query-migrate", "status", &pending, SNAPSHOT_TIMEOUT)?;
            if status != "completed" {
                return Err(Error::Qmp {
                    command: "migrate".into(),
                    what: format!("the status of the snapshot is {status}"),
                });
            }
            qmp.run("quit", json!({})).map(drop)
        })?;
        // The disk is complete only after QEMU has closed it.
        let deadline = Instant::now() + EXIT_TIMEOUT;
        while self.alive() {
            if Instant::now() >= deadline {
                return Err(self.failed("QEMU did not exit"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Resets the machine, like the reset button of a real one.
    pub(crate) fn reset(&self) -> Result<()> {
        self.with_qmp(|qmp| qmp.run("system_reset", json!({})).map(drop))
    }

    /// Reads a property of a device by its id.
    pub(crate) fn property(&self, device: &str, property: &str) -> Result<Value> {
        let path = format!("/machine/peripheral/{device}");
        let arguments = json!({ "path": path, "property": property });
        self.with_qmp(|qmp| qmp.run("qom-get", arguments))
    }

    /// Plugs the cable of a device in, or pulls it out.
    pub(crate) fn set_cable(&self, device: &str, plugged_in: bool) -> Result<()> {
        let arguments = json!({ "name": device, "up": plugged_in });
        self.with_qmp(|qmp| qmp.run("set_link", arguments).map(drop))
    }

    /// The loopback port that QEMU forwards to the guest's sshd. QEMU chose a free port itself,
    /// because a port chosen here could be taken before QEMU binds it.
    pub(crate) fn port(&self) -> Result<u16> {
        let arguments = json!({ "command-line": "info usernet" });
        let table = self.with_qmp(|qmp| qmp.run("human-monitor-command", arguments))?;
        let table = table.as_str().unwrap_or_default();
        let forward = table.lines().find(|line| line.contains("HOST_FORWARD"));
        let port = forward
            .and_then(|line| line.split_whitespace().nth(3))
            .and_then(|port| port.parse().ok());
        port.ok_or_else(|| self.failed(&format!("QEMU forwards no port to the guest\n{table}")))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn alive(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        matches!(process.try_wait(), Ok(None))
    }

    /// The output on the guest's serial console so far.
    pub(crate) fn console(&self) -> Vec<u8> {
        fs::read(&self.console).unwrap_or_default()
    }

    /// An error with the ends of QEMU's standard error and of the guest's console.
    pub(crate) fn failed(&self, what: &str) -> Error {
        let what = format!("{what}\n{}", tail(&self.folder.path().join("qemu.stderr")));
        Error::Machine { what, console: tail(&self.console) }
    }

    fn with_qmp<T>(&self, action: impl FnOnce(&mut Qmp) -> Result<T>) -> Result<T> {
        let mut qmp = self.qmp.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        action(&mut qmp).map_err(|error| self.failed(&error.to_string()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// Leaves the memory out of the snapshot, because it is a file of its own.
fn ignore_shared_memory(qmp: &mut Qmp) -> Result<()> {
    let capability = json!({ "capability": "x-ignore-shared", "state": true });
    qmp.run("migrate-set-capabilities", json!({ "capabilities": [capability] })).map(drop)
}

/// Spawns QEMU from a new thread, which lives until the returned sender is dropped.
///
/// QEMU dies with the lab's process by its parent-death signal (prctl(2), `PR_SET_PDEATHSIG`). The
/// kernel sends that signal when the *thread* that forked exits, and the thread of a test may exit
/// before the `Lab` that it started.
fn spawn_from_parent_thread(mut command: Command) -> Result<(Child, mpsc::Sender<()>)> {
    // SAFETY: prctl(2) is async-signal-safe and the closure allocates nothing.
    unsafe {
        command.pre_exec(|| prctl::set_pdeathsig(Signal::SIGKILL).map_err(Into::into));
    }
    let (parent_thread, released) = mpsc::channel::<()>();
    let (sender, spawned) = mpsc::channel();
    thread::spawn(move || {
        let _ = sender.send(command.spawn());
        let _ = released.recv();
    });
    let failed = |source| Error::Spawn { program: "qemu-system-x86_64".into(), source };
    let child = spawned
        .recv()
        .map_err(|_| failed(std::io::Error::other("the spawning thread panicked")))?;
    Ok((child.map_err(failed)?, parent_thread))
}

/// Waits for QEMU's control socket and connects to it.
fn connect_qmp(process: &mut Child, socket: &Path) -> Result<Qmp> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match Qmp::connect(socket) {
            Ok(qmp) => return Ok(qmp),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => {}
        }
        if let Ok(Some(status)) = process.try_wait() {
            return Err(Error::Qmp {
                command: "connect".into(),
                what: format!("QEMU exited during its start: {status}"),
            });
        }
        thread::sleep(Duration::from_millis(10));
    }
}
