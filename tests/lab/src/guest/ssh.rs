//! Runs commands in the guest over one lasting ssh connection: 0.07 s per command instead of 0.8 s.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::command;
use crate::error::{Error, Result, at};
use crate::output::{Output, RawOutput};

/// How much of each output stream the transcript shows.
const MAX_TRANSCRIPT_BYTES: usize = 64 << 10;

const FORWARD_TIMEOUT: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A connection to the guest: ssh's master process and its control socket.
pub(crate) struct Ssh {
    master: Mutex<Child>,
    control: PathBuf,
    transcript: PathBuf,
    log: Mutex<File>,
}

impl Ssh {
    /// Connects once, without retries.
    ///
    /// The master is a separate process. A client that becomes the master in the background would
    /// keep the output of its first command open.
    pub(crate) fn connect(
        port: u16,
        key: &Path,
        control: &Path,
        transcript: &Path,
        timeout: Duration,
    ) -> Result<Self> {
        // ssh refuses a control socket that already exists.
        let _ = std::fs::remove_file(control);
        let errors = control.with_extension("stderr");
        let mut command = master_command(port, key, control, timeout);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&errors).map_err(at(&errors))?);
        let master =
            command.spawn().map_err(|source| Error::Spawn { program: "ssh".into(), source })?;

        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(transcript)
            .map_err(at(transcript))?;
        let ssh = Self {
            master: Mutex::new(master),
            control: control.to_owned(),
            transcript: transcript.to_owned(),
            log: Mutex::new(log),
        };
        ssh.wait_until_up(timeout, &errors)?;
        Ok(ssh)
    }

    fn wait_until_up(&self, timeout: Duration, errors: &Path) -> Result<()> {
        let deadline = Instant::now() + timeout;
        // ssh creates the socket after it has authenticated.
        while !self.control.exists() {
            let ended = !self.alive();
            if ended || Instant::now() >= deadline {
                let so_far = std::fs::read_to_string(errors).unwrap_or_default();
                return Err(Error::Timeout {
                    what: "ssh to the guest".into(),
                    after: timeout,
                    so_far,
                });
            }
            thread::sleep(POLL_INTERVAL);
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

    /// Runs `script` in bash in the guest, and adds it and its result to the transcript.
    pub(crate) fn run(&self, script: &str, input: Vec<u8>, timeout: Duration) -> Result<RawOutput> {
        let started = Instant::now();
        let result =
            command::run(client_command(&self.control, script, false), input, timeout, script);
        self.record(script, started.elapsed(), &result);
        result
    }

    /// Asks the master to forward a port of this machine's loopback to a Unix socket in the guest.
    pub(crate) fn forward(&self, port: u16, path: &str) -> Result<Output> {
        let what = format!("forward port {port} to {path}");
        let mut client = Command::new("ssh");
        client.args(["-F", "none", "-S"]).arg(&self.control);
        client.args(["-O", "forward", "-L", &format!("127.0.0.1:{port}:{path}"), "root@lab"]);
        let started = Instant::now();
        let result = command::run(client, Vec::new(), FORWARD_TIMEOUT, &what);
        self.record(&what, started.elapsed(), &result);
        result.map(Output::from)
    }

    fn record(&self, script: &str, took: Duration, result: &Result<RawOutput>) {
        let outcome = match result {
            Ok(raw) => {
                let text = |bytes: &[u8]| {
                    let end = bytes.len().min(MAX_TRANSCRIPT_BYTES);
                    String::from_utf8_lossy(&bytes[..end]).into_owned()
                };
                let shown = Output {
                    status: raw.status,
                    stdout: text(&raw.stdout),
                    stderr: text(&raw.stderr),
                };
                shown.to_string()
            }
            Err(error) => format!("  {error}"),
        };
        let mut log = self.log.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // An unwritable transcript must not fail the test.
        let _ = writeln!(log, "# {script}\n{outcome}\n  took: {:.2} s\n", took.as_secs_f32());
    }
}

fn master_command(port: u16, key: &Path, control: &Path, timeout: Duration) -> Command {
    let mut master = Command::new("ssh");
    master.args(["-N", "-M", "-S"]).arg(control).arg("-i").arg(key).args(["-p", &port.to_string()]);
    for option in [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        // The fastest key exchange on an emulated CPU.
        "KexAlgorithms=curve25519-sha256",
        &format!("ConnectTimeout={}", timeout.as_secs().max(1)),
        "ServerAliveInterval=0",
    ] {
        master.args(["-o", option]);
    }
    // Without the user's ssh configuration, so that the lab behaves the same for every user.
    master.args(["-F", "none", "root@127.0.0.1"]);
    master
}

/// An ssh client that runs `script`, or a login shell if `script` is empty.
///
/// It needs only the control socket, so it can also run in another process than the [`Ssh`].
pub(crate) fn client_command(control: &Path, script: &str, tty: bool) -> Command {
    let mut client = Command::new("ssh");
    client.args(["-F", "none", "-S"]).arg(control);
    // Without a master the client must fail instead of looking up a host named `lab`.
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

/// Quotes a word for bash.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
