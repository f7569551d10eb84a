//! A hook's error on its way to the person who typed `podman run`.
//!
//! runc passes a hook's stderr on. crun sends it to /dev/null and says no more than that the hook failed (crun 1.21). What
//! Podman prints is the one JSON object in the log that it made the runtime write (`--log`). So the hook puts a log with its
//! own error in that file's place: the runtime goes on writing to the file it has open, which has no name any more, and
//! Podman reads ours. Appending would not do: Podman takes a log of two objects for none.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

/// Best effort: that the error cannot be shown is no second error.
pub(crate) fn report(line: &str) {
    let line = format!("runvf: {line}");
    let _ = writeln!(std::io::stderr(), "{line}");
    // Whoever runs a hook is its parent (runtime-spec: the runtime), and its command line is where its log is named.
    if let Ok(arguments) = fs::read(format!("/proc/{}/cmdline", parent_id()))
        && let Some(log) = log_of(&arguments)
    {
        let _ = replace(&log, &line);
    }
}

/// The value of `--log` in a zero-separated command line, if it is an absolute path.
pub(crate) fn log_of(arguments: &[u8]) -> Option<PathBuf> {
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
    // Nothing but Podman's own log: another engine reads its runtime's log in another way.
    if log.file_name() != Some(OsStr::new("oci-log")) || !log.symlink_metadata()?.is_file() {
        return Err(ErrorKind::NotFound.into());
    }
    let aside = log.with_file_name(".oci-log.runvf");
    let entry = serde_json::json!({ "level": "error", "msg": line });
    fs::write(&aside, format!("{entry}\n"))?;
    fs::rename(&aside, log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_found_as_podman_and_as_others_write_it() {
        let podman =
            b"/usr/bin/crun\0--systemd-cgroup\0--log-format=json\0--log\0/r/oci-log\0create\0";
        assert_eq!(log_of(podman), Some("/r/oci-log".into()));
        assert_eq!(log_of(b"runc\0--log=/r/oci-log\0create\0"), Some("/r/oci-log".into()));
        assert_eq!(log_of(b"runc\0--log=r\0"), None);
        assert_eq!(log_of(b"runc\0--log"), None);
        assert_eq!(log_of(b""), None);
    }

    #[test]
    fn podmans_log_is_replaced_and_no_other_made() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("oci-log");
        replace(&log, "no").unwrap_err();
        fs::write(folder.path().join("log.json"), "").unwrap();
        replace(&folder.path().join("log.json"), "no").unwrap_err();

        fs::write(&log, "").unwrap();
        let mut held = fs::OpenOptions::new().append(true).open(&log).unwrap();
        replace(&log, "say \"this\"").unwrap();
        held.write_all(b"{\"msg\":\"that\"}").unwrap();
        let entry: serde_json::Value = serde_json::from_slice(&fs::read(&log).unwrap()).unwrap();
        assert_eq!(entry["msg"], "say \"this\"");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
