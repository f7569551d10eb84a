//! A child process with a deadline: every wait of the lab ends.

use std::fmt;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

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

/// Runs `command` with `input` on its standard input, and kills it after `limit`.
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
    let (stdout, stderr) = (collect(stdout), collect(stderr));
    match ended {
        Ok(Some(status)) => Ok(RawOutput { status: code(status), stdout, stderr }),
        Ok(None) => {
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

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    })
}

fn collect(reader: JoinHandle<io::Result<Vec<u8>>>) -> Vec<u8> {
    reader.join().ok().and_then(io::Result::ok).unwrap_or_default()
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
}
