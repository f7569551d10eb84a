//! A client for QMP, QEMU's control protocol: one JSON object per line, events among the replies.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, Result};

const REPLY_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects and negotiates capabilities. It does not retry.
    pub(crate) fn connect(socket: &Path) -> Result<Self> {
        let failed = |source: std::io::Error| Error::Qmp {
            command: "connect".into(),
            what: source.to_string(),
        };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT)).map_err(failed)?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        qmp.read_line("greeting")?;
        qmp.run("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns its result. Events that arrive before the reply are dropped.
    pub(crate) fn run(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        let failed = |what: String| Error::Qmp { command: command.into(), what };
        self.reader
            .get_mut()
            .write_all(request.as_bytes())
            .map_err(|error| failed(error.to_string()))?;
        loop {
            let mut reply: Value = serde_json::from_str(&self.read_line(command)?)
                .map_err(|error| failed(error.to_string()))?;
            if let Some(error) = reply.get("error") {
                return Err(failed(error.to_string()));
            }
            if let Some(value) = reply.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Repeats `command` until `field` of its result is none of `pending`, and returns that value.
    pub(crate) fn wait_while(
        &mut self,
        command: &str,
        field: &str,
        pending: &[&str],
        timeout: Duration,
    ) -> Result<String> {
        let deadline = Instant::now() + timeout;
        loop {
            let state = self.run(command, json!({}))?;
            let value = state[field].as_str().unwrap_or("none").to_owned();
            if !pending.contains(&value.as_str()) {
                return Ok(value);
            }
            if Instant::now() >= deadline {
                return Err(Error::Timeout {
                    what: command.into(),
                    after: timeout,
                    so_far: state.to_string(),
                });
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn read_line(&mut self, command: &str) -> Result<String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => {
                Err(Error::Qmp { command: command.into(), what: "QEMU closed the socket".into() })
            }
            Ok(_) => Ok(line),
            Err(error) => Err(Error::Qmp { command: command.into(), what: error.to_string() }),
        }
    }
}
