//! Reports a hook's error to the user of `podman run`.
//!
//! runc passes on a hook's stderr. crun sends it to /dev/null and reports only that the hook failed
//! (crun 1.21). Podman prints the JSON object in the log that the runtime writes (`--log`), and
//! ignores a log with two objects. So the hook replaces that file with a log of its own: the
//! runtime continues to write to the unlinked file, and Podman reads the new one. Appending to the
//! file would not work.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

/// Best effort: a failure to report the error is ignored.
pub(crate) fn report(error: &str) {
    let line = format!("runvf: {error}");
    let _ = writeln!(std::io::stderr(), "{line}");
    // The parent of a hook is the runtime (runtime-spec); its command line has the path of the log.
    if let Ok(arguments) = fs::read(format!("/proc/{}/cmdline", parent_id()))
        && let Some(log) = log_path(&arguments)
    {
        let _ = replace(&log, &line);
    }
}

/// The value of `--log` in a NUL-separated command line, if it is an absolute path.
pub(crate) fn log_path(arguments: &[u8]) -> Option<PathBuf> {
    let mut arguments = arguments.split(|byte| *byte == 0);
    let value = loop {
        let argument = arguments.next()?;
        if argument == b"--log" {
            break arguments.next()?;
        }
        if let Some(value) = argument.strip_prefix(b"--log=") {
            break value;
        }
    };
    let path = Path::new(OsStr::from_bytes(value));
    path.is_absolute().then(|| path.to_owned())
}

fn replace(log: &Path, line: &str) -> std::io::Result<()> {
    // Only Podman's log, because other engines read the log of their runtime in another way.
    if log.file_name() != Some(OsStr::new("oci-log")) || !log.symlink_metadata()?.is_file() {
        return Err(ErrorKind::NotFound.into());
    }
    let temporary = log.with_file_name(".oci-log.runvf");
    let entry = serde_json::json!({ "level": "error", "msg": line });
    fs::write(&temporary, format!("{entry}\n"))?;
    fs::rename(&temporary, log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_option_is_found_in_both_forms() {
        let podman =
            b"/usr/bin/crun\0--systemd-cgroup\0--log-format=json\0--log\0/r/oci-log\0create\0";
        assert_eq!(log_path(podman), Some("/r/oci-log".into()));
        assert_eq!(log_path(b"runc\0--log=/r/oci-log\0create\0"), Some("/r/oci-log".into()));
        assert_eq!(log_path(b"runc\0--log=r\0"), None);
        assert_eq!(log_path(b"runc\0--log"), None);
        assert_eq!(log_path(b""), None);
    }

    #[test]
    fn only_the_log_of_podman_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("oci-log");
        replace(&log, "no").unwrap_err();
        fs::write(dir.path().join("log.json"), "").unwrap();
        replace(&dir.path().join("log.json"), "no").unwrap_err();

        fs::write(&log, "").unwrap();
        let mut held = fs::OpenOptions::new().append(true).open(&log).unwrap();
        replace(&log, "say \"this\"").unwrap();
        held.write_all(b"{\"msg\":\"that\"}").unwrap();
        let entry: serde_json::Value = serde_json::from_slice(&fs::read(&log).unwrap()).unwrap();
        assert_eq!(entry["msg"], "say \"this\"");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
