//! A child process with a timeout, so that every wait of the lab ends.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

use crate::error::{Error, Result};
use crate::output::{Output, RawOutput};

/// Minimum time to read the output after the command itself ended.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs `command` with `input` on its standard input, and kills it after `timeout`.
///
/// Until the timeout, it also waits for every process to close the output. A client of a shared
/// ssh connection shares its output with ssh's master process, which survives the client.
pub(crate) fn run(
    mut command: Command,
    input: Vec<u8>,
    timeout: Duration,
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
    let deadline = Instant::now() + timeout;
    write_input(&mut child, input);
    let stdout = read_chunks(child.stdout.take());
    let stderr = read_chunks(child.stderr.take());

    let ended = child.wait_timeout(timeout);
    if !matches!(ended, Ok(Some(_))) {
        // Both fail if the command has just ended by itself, which is no error.
        let _ = child.kill();
        let _ = child.wait();
    }
    let until = deadline.max(Instant::now() + OUTPUT_TIMEOUT);
    let (stdout, stdout_closed) = collect(&stdout, until);
    let (stderr, stderr_closed) = collect(&stderr, until);
    match ended {
        Ok(Some(status)) if stdout_closed && stderr_closed => {
            Ok(RawOutput { status: status_code(status), stdout, stderr })
        }
        Ok(_) => {
            let so_far = Output::from(RawOutput { status: -1, stdout, stderr }).to_string();
            Err(Error::Timeout { what: what.to_owned(), after: timeout, so_far })
        }
        Err(source) => Err(Error::Spawn { program: what.to_owned(), source }),
    }
}

/// The exit status, or 128 + N if signal N killed the process.
pub(crate) fn status_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Writes from a thread, because a child that writes before it has read everything would block both
/// sides. A child may end without reading its input, so a broken pipe is not an error.
fn write_input(child: &mut Child, input: Vec<u8>) {
    if let Some(mut stdin) = child.stdin.take() {
        thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
    }
}

/// Reads a pipe in a thread. The channel closes at the end of the file.
fn read_chunks(pipe: Option<impl Read + Send + 'static>) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        loop {
            let mut bytes = vec![0; 64 << 10];
            let chunk = match pipe.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => {
                    bytes.truncate(count);
                    Ok(bytes)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = chunk.is_err();
            // `send` fails when the receiver has given up.
            if sender.send(chunk).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// The bytes that arrived before `until`, and whether the pipe was closed by then.
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

    fn sh(script: &str, input: &[u8], timeout: Duration) -> Result<RawOutput> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, input.to_vec(), timeout, script)
    }

    #[test]
    fn input_output_and_status_are_passed_on() {
        let output =
            Output::from(sh("cat; echo bad >&2; exit 3", b"in", Duration::from_secs(10)).unwrap());
        assert_eq!((output.status, output.text(), output.stderr.as_str()), (3, "in", "bad\n"));
    }

    #[test]
    fn the_error_for_a_hanging_command_names_it() {
        let error = sh("echo early; exec sleep 60", b"", Duration::from_millis(300))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("exec sleep 60: timed out") && error.contains("stdout: early"),
            "{error}"
        );
    }

    #[test]
    fn another_process_that_holds_the_output_open_does_not_extend_the_timeout() {
        for script in ["sleep 60 & echo early", "sleep 60 & echo early; exec sleep 60"] {
            let began = Instant::now();
            let error = sh(script, b"", Duration::from_millis(300)).err().unwrap().to_string();
            assert!(error.contains("timed out") && error.contains("stdout: early"), "{error}");
            assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        }
    }
}
