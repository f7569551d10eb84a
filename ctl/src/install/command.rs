//! Programs of the engines, run with a time limit: an engine that hangs must not take runvfctl with it.

use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// Enough for dockerd to look at a file on a busy machine.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn run(words: &[&str], limit: Duration) -> Result<Said, Error> {
    let line = words.join(" ");
    let failed = |source| Error::Spawn { command: line.clone(), source };
    let (program, arguments) = words.split_first().unwrap_or((&"", &[]));
    // Files: a pipe that nobody reads while we wait would stop the program.
    let (mut out, mut err) =
        (tempfile::tempfile().map_err(failed)?, tempfile::tempfile().map_err(failed)?);
    let mut child = Command::new(program)
        .args(arguments)
        // The user's shell may talk to an engine on another machine.
        .env_remove("DOCKER_HOST")
        .env_remove("CONTAINER_HOST")
        .env("DOCKER_CONTEXT", "default")
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(failed)?)
        .stderr(err.try_clone().map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Timeout { command: line, seconds: limit.as_secs() });
        }
        thread::sleep(Duration::from_millis(10));
    };
    let text = |file: &mut std::fs::File| {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let stdout = text(&mut out).map_err(failed)?;
    let stderr = text(&mut err).map_err(failed)?;
    Ok(Said { success: status.success(), stdout, stderr })
}

/// What it printed, if it succeeded.
pub(crate) fn ok(words: &[&str], limit: Duration) -> Result<String, Error> {
    let said = run(words, limit)?;
    match said.success {
        true => Ok(said.stdout),
        false => Err(Error::Command { command: words.join(" "), said: said.last_line() }),
    }
}

impl Said {
    /// Programs give their reason last.
    pub(crate) fn last_line(&self) -> String {
        let lines = self.stderr.lines().chain(self.stdout.lines());
        let last = |lines: &mut dyn Iterator<Item = &str>| {
            lines.filter(|line| !line.trim().is_empty()).last().map(str::to_owned)
        };
        last(&mut self.stderr.lines())
            .or_else(|| last(&mut { lines }))
            .unwrap_or_else(|| "it said nothing".to_owned())
    }
}

/// Asks again and again, for what an engine reaches by itself.
pub(crate) fn wait_until(
    limit: Duration,
    mut condition: impl FnMut() -> Result<bool, Error>,
) -> Result<bool, Error> {
    let deadline = Instant::now() + limit;
    loop {
        if condition()? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_given_up() {
        let error = run(&["sleep", "60"], Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.line(), "`sleep 60` did not finish within 0 s");
    }

    #[test]
    fn a_failure_says_why() {
        let error = ok(&["sh", "-c", "echo a; echo b >&2; echo; exit 1"], ANSWER).unwrap_err();
        assert_eq!(error.line(), "`sh -c echo a; echo b >&2; echo; exit 1` failed: b");
    }
}
