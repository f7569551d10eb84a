//! Commands in the guest, over one connection that stays: about 0.07 s a command instead of 0.8 s.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{self, Output, RawOutput};
use crate::error::{Error, Result, at};

pub(crate) struct Ssh {
    master: Mutex<Child>,
    control: PathBuf,
    transcript: PathBuf,
    log: Mutex<File>,
}

impl Ssh {
    /// One attempt. The connection is a child of its own: a client that turns itself into a
    /// background master would keep the first command's output open for ever.
    pub(crate) fn connect(
        port: u16,
        key: &Path,
        control: &Path,
        transcript: &Path,
        limit: Duration,
    ) -> Result<Self> {
        // ssh refuses a control socket that is there already.
        let _ = std::fs::remove_file(control);
        let errors = control.with_extension("stderr");
        let mut master = Command::new("ssh");
        master
            .args(["-N", "-M", "-S"])
            .arg(control)
            .arg("-i")
            .arg(key)
            .args(["-p", &port.to_string()]);
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            // The key exchange a software-emulated CPU is quickest with.
            "KexAlgorithms=curve25519-sha256",
            &format!("ConnectTimeout={}", limit.as_secs().max(1)),
            "ServerAliveInterval=0",
        ] {
            master.args(["-o", option]);
        }
        // No configuration of the user's may reach into the lab.
        master.args(["-F", "none", "root@127.0.0.1"]);
        master
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&errors).map_err(at(&errors))?);
        let spawned =
            master.spawn().map_err(|source| Error::Spawn { program: "ssh".into(), source })?;

        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(transcript)
            .map_err(at(transcript))?;
        let ssh = Self {
            master: Mutex::new(spawned),
            control: control.to_owned(),
            transcript: transcript.to_owned(),
            log: Mutex::new(log),
        };
        ssh.wait_until_up(limit, &errors)?;
        Ok(ssh)
    }

    fn wait_until_up(&self, limit: Duration, errors: &Path) -> Result<()> {
        let deadline = Instant::now() + limit;
        // ssh makes the socket when it is authenticated.
        while !self.control.exists() {
            let ended = !self.alive();
            if ended || Instant::now() >= deadline {
                let so_far = std::fs::read_to_string(errors).unwrap_or_default();
                return Err(Error::Timeout {
                    what: "ssh to the guest".into(),
                    after: limit,
                    so_far,
                });
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(crate) fn alive(&self) -> bool {
        let mut master = self.master.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        matches!(master.try_wait(), Ok(None))
    }

    pub(crate) fn transcript(&self) -> &Path {
        &self.transcript
    }

    /// Runs `script` in the guest's bash.
    pub(crate) fn run(&self, script: &str, input: Vec<u8>, limit: Duration) -> Result<RawOutput> {
        let started = Instant::now();
        let result = command::run(through(&self.control, script, false), input, limit, script);
        self.record(script, started.elapsed(), &result);
        result
    }

    fn record(&self, script: &str, took: Duration, result: &Result<RawOutput>) {
        let outcome = match result {
            Ok(raw) => {
                let bytes = |bytes: &[u8]| {
                    String::from_utf8_lossy(&bytes[..bytes.len().min(64 << 10)]).into_owned()
                };
                let shown = Output {
                    status: raw.status,
                    stdout: bytes(&raw.stdout),
                    stderr: bytes(&raw.stderr),
                };
                shown.to_string()
            }
            Err(error) => format!("  {error}"),
        };
        let mut log = self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // A transcript that cannot be written must not fail the test it would explain.
        let _ = writeln!(log, "# {script}\n{outcome}\n  took: {:.2} s\n", took.as_secs_f32());
    }
}

/// The client half: it needs nothing but the control socket, so another process can use it too. An
/// empty `script` is a login shell.
pub(crate) fn through(control: &Path, script: &str, tty: bool) -> Command {
    let mut client = Command::new("ssh");
    client.args(["-F", "none", "-S"]).arg(control);
    // Without its master the client must fail and not ask the network for a host of that name.
    client.args(["-o", "ProxyCommand=false", "-o", "LogLevel=ERROR"]);
    client.args(if tty { ["-t"].as_slice() } else { [].as_slice() });
    client.arg("root@lab");
    if !script.is_empty() {
        client.args(["--", script]);
    }
    client
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let master = self.master.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        let _ = master.kill();
        let _ = master.wait();
    }
}
