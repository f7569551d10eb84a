//! What an engine is told. containerd's shim reads the file of `--log` and takes the last entry whose level is `error`
//! (go-runc `runc.go`, `getLastRuntimeError`); conmon and Podman read the same; a person reads stderr.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum as _;

use crate::cli::{Global, LogFormat};
use crate::error::{Error, line};

/// A copy writes to the same file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    file: Option<(Arc<File>, LogFormat)>,
}

impl Log {
    pub(crate) fn open(global: &Global) -> Result<Self, Error> {
        let Some(path) = &global.log else {
            return Ok(Self::default());
        };
        let opened = OpenOptions::new().append(true).create(true).open(path);
        let file = opened.map_err(Error::file("open", path))?;
        Ok(Self { file: Some((Arc::new(file), global.log_format)) })
    }

    /// For a command line that is wrong elsewhere: the engine still looks for the reason in its log.
    pub(crate) fn open_from_args(arguments: impl Iterator<Item = OsString>) -> Option<Self> {
        let typed: Vec<String> = arguments.filter_map(|one| one.into_string().ok()).collect();
        let value = |flag: &str| {
            let at = typed.iter().position(|one| one.split('=').next() == Some(flag))?;
            match typed[at].split_once('=') {
                Some((_, value)) => Some(value.to_owned()),
                None => typed.get(at + 1).cloned(),
            }
        };
        let path = value("--log")?;
        let format = value("--log-format").and_then(|name| LogFormat::from_str(&name, false).ok());
        let file = OpenOptions::new().append(true).create(true).open(path).ok()?;
        Some(Self { file: Some((Arc::new(file), format.unwrap_or(LogFormat::Text))) })
    }

    pub(crate) fn fail(&self, error: &Error) -> ExitCode {
        let message = line(error);
        self.append("error", &message);
        eprintln!("runvf: {message}");
        ExitCode::FAILURE
    }

    /// For what goes wrong without making the command fail. Stderr only if there is no log: Docker and Podman would show
    /// it to the user as if it were the container's.
    pub(crate) fn warn(&self, message: &str) {
        let message = message.replace(char::is_control, " ");
        match self.file {
            Some(_) => self.append("warning", &message),
            None => eprintln!("runvf: warning: {message}"),
        }
    }

    /// To the file if there is one, else to stderr.
    pub(crate) fn debug(&self, level: &str, message: &str) {
        let message = message.replace(char::is_control, " ");
        match self.file {
            Some(_) => self.append(level, &message),
            None => eprintln!("runvf: {level}: {message}"),
        }
    }

    fn append(&self, level: &str, message: &str) {
        let Some((file, format)) = &self.file else { return };
        let time = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let entry = entry(*format, level, message, &time);
        // One write, so that entries of two processes never mix. If it fails there is no better place to say so.
        let _ = (&**file).write_all(entry.as_bytes());
    }
}

/// As logrus writes them, which is what engines were made to read.
fn entry(format: LogFormat, level: &str, message: &str, time: &str) -> String {
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
    fn a_json_entry_has_what_containerd_decodes() {
        let entry = entry(LogFormat::Json, "error", "a \"b\"", "2026-01-02T03:04:05Z");
        assert_eq!(
            entry,
            "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\",\"time\":\"2026-01-02T03:04:05Z\"}\n"
        );
    }

    #[test]
    fn a_text_entry_is_like_logrus() {
        let entry = entry(LogFormat::Text, "error", "a \"b\"", "T");
        assert_eq!(entry, "time=\"T\" level=error msg=\"a \\\"b\\\"\"\n");
    }

    #[test]
    fn the_log_is_found_in_a_wrong_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let typed = [format!("--log={}", path.display()), "--log-format".into(), "json".into()];
        let log = Log::open_from_args(typed.into_iter().map(OsString::from)).unwrap();
        log.append("error", "x");
        assert!(std::fs::read_to_string(path).unwrap().starts_with("{\"level\":\"error\""));
    }
}
