//! A child process with a deadline: every wait of the lab ends.

use std::fmt;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

use crate::error::{Error, Result};

/// What a command left behind. `status` is 128 + the signal where one ended it.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// Standard output without the newline at its end.
    pub fn text(&self) -> &str {
        self.stdout.trim_end()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  status: {}", self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            for line in text.lines() {
                write!(f, "\n  {name}: {line}")?;
            }
        }
        Ok(())
    }
}

/// Standard output as it came; a capture file is not text.
pub(crate) struct RawOutput {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl From<RawOutput> for Output {
    fn from(raw: RawOutput) -> Self {
        Self {
            status: raw.status,
            stdout: String::from_utf8_lossy(&raw.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&raw.stderr).into_owned(),
        }
    }
}

/// How long a command's output is waited for after the command's own end.
const REST: Duration = Duration::from_secs(1);

/// Runs `command` with `input` on its standard input, and kills it after `limit`. It is not done as long as anybody has its output open:
/// for one that goes over a shared connection that is ssh's master, which lives on when the command is killed.
pub(crate) fn run(
    mut command: Command,
    input: Vec<u8>,
    limit: Duration,
    what: &str,
) -> Result<RawOutput> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| Error::Spawn {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
    let deadline = Instant::now() + limit;
    feed(&mut child, input);
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());

    let ended = child.wait_timeout(limit);
    if !matches!(ended, Ok(Some(_))) {
        // It may have ended by itself in between: then there is nothing to kill and nothing to
        // report.
        let _ = child.kill();
        let _ = child.wait();
    }
    let until = deadline.max(Instant::now() + REST);
    let ((stdout, whole), (stderr, also)) = (collect(&stdout, until), collect(&stderr, until));
    match ended {
        Ok(Some(status)) if whole && also => Ok(RawOutput { status: code(status), stdout, stderr }),
        Ok(_) => {
            let so_far = Output::from(RawOutput { status: -1, stdout, stderr }).to_string();
            Err(Error::Timeout { what: what.to_owned(), after: limit, so_far })
        }
        Err(source) => Err(Error::Spawn { program: what.to_owned(), source }),
    }
}

pub(crate) fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A thread, because a child that writes before it has read everything would block us both. A child
/// that ends without reading is its own business, so a broken pipe is not an error.
fn feed(child: &mut Child, input: Vec<u8>) {
    if let Some(mut stdin) = child.stdin.take() {
        thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        loop {
            let mut bytes = vec![0; 64 << 10];
            let read = match pipe.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => {
                    bytes.truncate(count);
                    Ok(bytes)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let last = read.is_err();
            // Nobody waits any more, or there is no more.
            if sender.send(read).is_err() || last {
                return;
            }
        }
    });
    receiver
}

/// What came, and whether that is all.
fn collect(chunks: &Receiver<io::Result<Vec<u8>>>, until: Instant) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    loop {
        match chunks.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Ok(bytes)) => all.extend(bytes),
            Err(RecvTimeoutError::Disconnected) => return (all, true),
            Ok(Err(_)) | Err(RecvTimeoutError::Timeout) => return (all, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, input: &[u8], limit: Duration) -> Result<RawOutput> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, input.to_vec(), limit, script)
    }

    #[test]
    fn carries_input_output_and_status() {
        let output =
            Output::from(sh("cat; echo bad >&2; exit 3", b"in", Duration::from_secs(10)).unwrap());
        assert_eq!((output.status, output.text(), output.stderr.as_str()), (3, "in", "bad\n"));
    }

    #[test]
    fn a_hanging_command_is_killed_and_named() {
        let error = sh("echo early; exec sleep 60", b"", Duration::from_millis(300))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("exec sleep 60: not done") && error.contains("stdout: early"),
            "{error}"
        );
    }

    #[test]
    fn who_else_has_the_output_open_is_not_waited_for_longer() {
        for script in ["sleep 60 & echo early", "sleep 60 & echo early; exec sleep 60"] {
            let began = Instant::now();
            let error = sh(script, b"", Duration::from_millis(300)).err().unwrap().to_string();
            assert!(error.contains("not done") && error.contains("stdout: early"), "{error}");
            assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        }
    }
}
