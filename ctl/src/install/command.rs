//! Runs the engines' programs with a timeout: an engine that hangs must not block runvfctl.

use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// Long enough for dockerd to validate a file on a busy machine.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
const EXIT_POLL_INTERVAL: Duration = Duration::from_millis(10);
const CONDITION_POLL_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run(words: &[&str], timeout: Duration) -> Result<Output, Error> {
    let line = words.join(" ");
    let failed = |source| Error::Spawn { command: line.clone(), source };
    let (program, arguments) = words.split_first().unwrap_or((&"", &[]));
    // Files, not pipes: the program would block on a full pipe, because it is read only after the
    // exit.
    let (mut out, mut err) =
        (tempfile::tempfile().map_err(failed)?, tempfile::tempfile().map_err(failed)?);
    let mut child = Command::new(program)
        .args(arguments)
        // The user's environment may select an engine on another machine.
        .env_remove("DOCKER_HOST")
        .env_remove("CONTAINER_HOST")
        .env("DOCKER_CONTEXT", "default")
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(failed)?)
        .stderr(err.try_clone().map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    let deadline = Instant::now() + timeout;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Timeout { command: line, seconds: timeout.as_secs() });
        }
        thread::sleep(EXIT_POLL_INTERVAL);
    };
    let text = |file: &mut std::fs::File| {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let stdout = text(&mut out).map_err(failed)?;
    let stderr = text(&mut err).map_err(failed)?;
    Ok(Output { success: status.success(), stdout, stderr })
}

/// Runs a program and returns its stdout; a non-zero exit status is an error.
pub(crate) fn stdout(words: &[&str], timeout: Duration) -> Result<String, Error> {
    let output = run(words, timeout)?;
    match output.success {
        true => Ok(output.stdout),
        false => Err(Error::Command { command: words.join(" "), reason: output.last_line() }),
    }
}

impl Output {
    /// The last line of stderr, or of stdout: programs print the reason of a failure last.
    pub(crate) fn last_line(&self) -> String {
        let last =
            |text: &str| text.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned);
        last(&self.stderr).or_else(|| last(&self.stdout)).unwrap_or_else(|| "no output".to_owned())
    }
}

/// Polls until the condition holds; returns `false` at the timeout.
pub(crate) fn wait_until(
    timeout: Duration,
    mut condition: impl FnMut() -> Result<bool, Error>,
) -> Result<bool, Error> {
    let deadline = Instant::now() + timeout;
    loop {
        if condition()? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(CONDITION_POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hanging_program_is_killed_at_the_timeout() {
        let error = run(&["sleep", "60"], Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.line(), "`sleep 60` did not finish within 0 s");
    }

    #[test]
    fn failure_names_the_last_line_of_stderr() {
        let error =
            stdout(&["sh", "-c", "echo a; echo b >&2; echo; exit 1"], COMMAND_TIMEOUT).unwrap_err();
        assert_eq!(error.line(), "`sh -c echo a; echo b >&2; echo; exit 1` failed: b");
    }
}
