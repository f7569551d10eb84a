//! Reports a panic like another error: in one line, in the engine's log and on stderr, and with the
//! exit code of the command. Rust prints three lines to stderr, and ends a program that is built with
//! `panic = "abort"` by SIGABRT.

use std::panic::{self, PanicHookInfo};
use std::process;

use nix::unistd::getpid;

use crate::error::Error;
use crate::libcontainer::errors;
use crate::log::Log;

/// Installs the report. `failure`: the exit code of the command.
pub(crate) fn report_to(log: &Log, failure: u8) {
    let (log, runvf) = (log.clone(), getpid());
    panic::set_hook(Box::new(move |info| {
        let problem = describe(info);
        // A process that libcontainer has forked only keeps its error. runvf reports it.
        if getpid() == runvf {
            log.fail(&Error::Panic { problem });
        } else {
            errors::keep(&problem);
        }
        #[expect(clippy::exit, reason = "a panic must not continue")]
        process::exit(failure.into());
    }));
}

/// The message and the place of a panic, without the line breaks between them.
fn describe(info: &PanicHookInfo<'_>) -> String {
    let text = info.payload().downcast_ref::<&str>().copied();
    let text = text.or_else(|| info.payload().downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("panic");
    match info.location() {
        Some(location) => format!("{message} ({}:{})", location.file(), location.line()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;

    use super::*;

    const LOG: &str = "RUNVF_TEST_PANIC_LOG";

    #[test]
    fn a_panic_is_one_entry_in_the_log() {
        if let Some(path) = env::var_os(LOG) {
            let words = ["--log".into(), path, "--log-format=json".into()];
            report_to(&Log::open_from_args(words.into_iter()).unwrap(), 255);
            panic!("first\nsecond");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        // The test runs again in a process that ends.
        let name = "panic::tests::a_panic_is_one_entry_in_the_log";
        let mut command = Command::new(env::current_exe().unwrap());
        let output = command.args(["--exact", name, "--nocapture"]).env(LOG, &path).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(255), "{output:?}");
        let text = std::fs::read_to_string(path).unwrap();
        let entry: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(entry["level"], "error");
        let message = entry["msg"].as_str().unwrap();
        assert!(message.starts_with("internal error: first second ("), "{message}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("runvf: {message}")));
    }
}
