//! QEMU's control socket: one JSON object a line, replies mixed with events.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Error, Result};

const REPLY: Duration = Duration::from_secs(30);

pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects once; the caller decides whether QEMU still deserves another try.
    pub(crate) fn connect(socket: &Path) -> Result<Self> {
        let failed = |source: std::io::Error| Error::Qmp {
            command: "connect".into(),
            what: source.to_string(),
        };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(REPLY)).map_err(failed)?;
        let mut qmp = Self { reader: BufReader::new(stream) };
        qmp.line("greeting")?;
        qmp.run("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    pub(crate) fn run(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        let broken = |what: String| Error::Qmp { command: command.into(), what };
        self.reader
            .get_mut()
            .write_all(request.as_bytes())
            .map_err(|error| broken(error.to_string()))?;
        loop {
            let mut reply: Value = serde_json::from_str(&self.line(command)?)
                .map_err(|error| broken(error.to_string()))?;
            if let Some(error) = reply.get("error") {
                return Err(broken(error.to_string()));
            }
            if let Some(value) = reply.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Asks `command` until its `field` is no longer one of `pending`, and returns what it is then.
    pub(crate) fn until_not(
        &mut self,
        command: &str,
        field: &str,
        pending: &[&str],
        limit: Duration,
    ) -> Result<String> {
        let deadline = Instant::now() + limit;
        loop {
            let state = self.run(command, json!({}))?;
            let value = state[field].as_str().unwrap_or("none").to_owned();
            if !pending.contains(&value.as_str()) {
                return Ok(value);
            }
            if Instant::now() >= deadline {
                return Err(Error::Timeout {
                    what: command.into(),
                    after: limit,
                    so_far: state.to_string(),
                });
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn line(&mut self, command: &str) -> Result<String> {
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
