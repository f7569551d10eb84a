//! The log that engines read. containerd's shim reads the file of `--log` and takes the last entry
//! with the level `error` (go-runc `runc.go`, `getLastRuntimeError`). Podman parses the whole file as
//! one JSON value. So a command that fails writes one entry, its error, and warnings wait for a
//! success. A person reads stderr.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Write as _, stderr};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use clap::ValueEnum as _;

use crate::cli::{Global, LogFormat};
use crate::error::{Error, line};

/// The file of `--log`, or none. A clone writes to the same file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    file: Option<(Arc<File>, LogFormat)>,
    /// The warnings that wait for the end of the command.
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Log {
    pub(crate) fn open(global: &Global) -> Result<Self, Error> {
        let Some(path) = &global.log else {
            return Ok(Self::default());
        };
        let opened = OpenOptions::new().append(true).create(true).open(path);
        let file = opened.map_err(Error::file("open", path))?;
        Ok(Self { file: Some((Arc::new(file), global.log_format)), ..Self::default() })
    }

    /// Opens the log that an invalid command line names, because the engine looks for the error
    /// there.
    pub(crate) fn open_from_args(arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let words: Vec<String> = arguments.filter_map(|word| word.into_string().ok()).collect();
        let value = |option: &str| {
            let index = words.iter().position(|word| word.split('=').next() == Some(option))?;
            match words[index].split_once('=') {
                Some((_, value)) => Some(value.to_owned()),
                None => words.get(index + 1).cloned(),
            }
        };
        let path = value("--log")?;
        let format = value("--log-format").and_then(|name| LogFormat::from_str(&name, false).ok());
        let file = OpenOptions::new().append(true).create(true).open(path).ok()?;
        let file = Some((Arc::new(file), format.unwrap_or(LogFormat::Text)));
        Some(Self { file, ..Self::default() })
    }

    /// Writes an error to the log and to stderr, and the warnings before it only to stderr.
    pub(crate) fn fail(&self, error: &Error) -> ExitCode {
        self.print_warnings();
        let message = line(error);
        self.append("error", &message);
        print(&message);
        ExitCode::FAILURE
    }

    /// Keeps a warning for the end of the command, or writes it to stderr if there is no log. Docker
    /// and Podman show a runtime's stderr to the user as if it came from the container.
    pub(crate) fn warn(&self, message: &str) {
        let message = message.replace(char::is_control, " ");
        match self.file {
            Some(_) => {
                self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(message);
            }
            None => print(&format!("warning: {message}")),
        }
    }

    /// Writes the warnings of a command that has succeeded.
    pub(crate) fn succeed(&self) {
        for warning in self.take_warnings() {
            self.append("warning", &warning);
        }
    }

    /// Writes the warnings of a command that has failed to stderr.
    pub(crate) fn print_warnings(&self) {
        for warning in self.take_warnings() {
            print(&format!("warning: {warning}"));
        }
    }

    fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes an entry of the given level to the log, or to stderr if there is no log.
    pub(crate) fn debug(&self, level: &str, message: &str) {
        let message = message.replace(char::is_control, " ");
        match self.file {
            Some(_) => self.append(level, &message),
            None => print(&format!("{level}: {message}")),
        }
    }

    fn append(&self, level: &str, message: &str) {
        let Some((file, format)) = &self.file else { return };
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let entry = format_entry(*format, level, message, &time);
        // A single write keeps the entries of two processes apart. A failure cannot be reported:
        // this is the log.
        let _ = (&**file).write_all(entry.as_bytes());
    }
}

/// Writes a line to stderr. `eprintln!` would panic if stderr is a closed pipe.
fn print(message: &str) {
    let _ = writeln!(stderr(), "runvf: {message}");
}

/// Formats an entry as logrus does, because engines parse that format.
fn format_entry(format: LogFormat, level: &str, message: &str, time: &str) -> String {
    match format {
        LogFormat::Json => {
            format!("{}\n", serde_json::json!({ "level": level, "msg": message, "time": time }))
        }
        LogFormat::Text => format!("time=\"{time}\" level={level} msg={message:?}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_entry_has_the_keys_that_containerd_decodes() {
        let entry = format_entry(LogFormat::Json, "error", "a \"b\"", "2026-01-02T03:04:05Z");
        assert_eq!(
            entry,
            "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\",\"time\":\"2026-01-02T03:04:05Z\"}\n"
        );
    }

    #[test]
    fn a_text_entry_has_the_format_of_logrus() {
        let entry = format_entry(LogFormat::Text, "error", "a \"b\"", "T");
        assert_eq!(entry, "time=\"T\" level=error msg=\"a \\\"b\\\"\"\n");
    }

    #[test]
    fn a_failed_command_writes_one_entry() {
        let folder = tempfile::tempdir().unwrap();
        for (fails, expected) in [(true, ["error"].as_slice()), (false, &["warning", "warning"])] {
            let path = folder.path().join(fails.to_string());
            let word = format!("--log={}", path.display());
            let log = Log::open_from_args([word.into(), "--log-format=json".into()].into_iter());
            let log = log.unwrap();
            log.warn("a");
            log.clone().warn("b");
            match fails {
                true => drop(log.fail(&Error::Usage { problem: "c".to_owned() })),
                false => log.succeed(),
            }
            let text = std::fs::read_to_string(path).unwrap();
            let levels = text.lines().map(|line| {
                let entry: serde_json::Value = serde_json::from_str(line).unwrap();
                entry["level"].as_str().unwrap().to_owned()
            });
            assert_eq!(levels.collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn an_invalid_command_line_still_names_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let words = [format!("--log={}", path.display()), "--log-format".into(), "json".into()];
        let log = Log::open_from_args(words.into_iter().map(OsString::from)).unwrap();
        log.append("error", "x");
        assert!(std::fs::read_to_string(path).unwrap().starts_with("{\"level\":\"error\""));
    }
}
