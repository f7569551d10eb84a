//! Writes the files of a cgroup, and reads them back.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use nix::libc;

use super::error::LimitError;
use super::read_back;
use super::setting::{Format, Setting, format_of};

/// Writes the settings in their order and reads each back.
pub(super) fn write(folder: &Path, settings: &[Setting]) -> Result<(), LimitError> {
    let mut again = Vec::new();
    for setting in settings {
        match write_one(folder, setting) {
            // The kernel refuses a burst above the present quota. A later setting may raise the
            // quota. The burst cannot simply be the last, because a quota below the present burst is
            // refused, too.
            Err(LimitError::Write { source, .. })
                if setting.file == "cpu.max.burst"
                    && source.raw_os_error() == Some(libc::EINVAL) =>
            {
                again.push(setting);
            }
            written => written?,
        }
    }
    again.into_iter().try_for_each(|setting| write_one(folder, setting))
}

fn write_one(folder: &Path, setting: &Setting) -> Result<(), LimitError> {
    let path = folder.join(&setting.file);
    let field = || setting.field.clone();
    // An empty value has one line, too: it clears a list.
    for line in setting.value.split('\n').map(str::trim_end) {
        match write_line(&path, line) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && setting.optional => {
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LimitError::field(field(), missing(folder, &setting.file)));
            }
            Err(source) => {
                let value = line.to_owned();
                return Err(LimitError::Write { field: field(), value, path, source });
            }
            Ok(()) if format_of(&setting.file) == Format::Unknown => continue,
            Ok(()) => {}
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        if !read_back::matches(&setting.file, line, &found) {
            let (wanted, found) = (line.to_owned(), found.trim().to_owned());
            return Err(LimitError::ReadBack { field: field(), wanted, found, path });
        }
    }
    Ok(())
}

/// The kernel takes one value per write(2). It ignores a write without a byte.
fn write_line(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(if line.is_empty() { b"\n" } else { line.as_bytes() })
}

/// Says why a file does not exist.
fn missing(folder: &Path, file: &str) -> String {
    let controller = file.split('.').next().unwrap_or_default();
    let enabled = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    match controller == "cgroup" || enabled.split_ascii_whitespace().any(|name| name == controller)
    {
        true => format!("the kernel has no {file}; remove the limit"),
        false => format!(
            "the cgroup {} has no controller `{controller}`; enable it in the kernel and in the parent \
             cgroup, or remove the limit",
            folder.display()
        ),
    }
}

/// The present values of the files that the settings change, as settings that restore them.
pub(super) fn current(folder: &Path, settings: &[Setting]) -> Vec<Setting> {
    let mut current = Vec::new();
    for setting in settings {
        let Ok(text) = fs::read_to_string(folder.join(&setting.file)) else { continue };
        let value = match format_of(&setting.file) {
            Format::Unknown => continue,
            Format::Keyed => {
                let lines = setting.value.lines();
                let old = lines.filter_map(|line| restored_line(&setting.file, line, &text));
                old.collect::<Vec<_>>().join("\n")
            }
            _ => text.trim().to_owned(),
        };
        if !(value.is_empty() && format_of(&setting.file) == Format::Keyed) {
            current.push(Setting { value, ..setting.clone() });
        }
    }
    current
}

/// The present line of the device or the resource that a line changes.
fn restored_line(file: &str, line: &str, text: &str) -> Option<String> {
    let (key, _) = line.split_once(' ').unwrap_or(("default", ""));
    let present = text.lines().find(|line| line.split(' ').next() == Some(key));
    match (present, file) {
        (Some(line), _) => Some(line.to_owned()),
        (None, "io.max") => Some(format!("{key} rbps=max wbps=max riops=max wiops=max")),
        (None, "io.weight" | "io.bfq.weight") => Some(format!("{key} default")),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroup(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            fs::write(folder.path().join(file), text).unwrap();
        }
        folder
    }

    #[test]
    fn values_are_written_and_read_back() {
        let cgroup = cgroup(&[("pids.max", "max\n"), ("cpuset.cpus", "0\n")]);
        let settings = [
            Setting::new("pids.limit", "pids.max", 7),
            Setting::new("cpu.cpus", "cpuset.cpus", ""),
        ];
        write(cgroup.path(), &settings).unwrap();
        let read = |file: &str| fs::read_to_string(cgroup.path().join(file)).unwrap();
        assert_eq!((read("pids.max").as_str(), read("cpuset.cpus").as_str()), ("7", "\n"));
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_the_field() {
        let cgroup = cgroup(&[("cgroup.controllers", "cpu pids\n")]);
        let limit = Setting::new("rdma", "rdma.max", "a hca_handle=1");
        let line = write(cgroup.path(), &[limit]).unwrap_err().to_string();
        assert!(line.contains("linux.resources.rdma: ") && line.contains("`rdma`"), "{line}");
        let limit = Setting::new("unified.cpu.x", "cpu.x", 1);
        let line = write(cgroup.path(), &[limit]).unwrap_err().to_string();
        assert!(line.contains("the kernel has no cpu.x"), "{line}");
        let limit = Setting::new("memory.swap", "memory.swap.max", "max").optional(true);
        write(cgroup.path(), &[limit]).unwrap();
    }

    #[test]
    fn another_value_than_the_written_one_is_an_error() {
        let cgroup = cgroup(&[]);
        // A file that is never what was written to it.
        std::os::unix::fs::symlink("/dev/null", cgroup.path().join("pids.max")).unwrap();
        let limit = Setting::new("pids.limit", "pids.max", 7);
        let line = write(cgroup.path(), &[limit]).unwrap_err().to_string();
        assert!(line.contains("pids.max contains `` after `7` was written"), "{line}");
    }

    #[test]
    fn the_present_values_can_be_restored() {
        let cgroup = cgroup(&[
            ("pids.max", "max\n"),
            ("io.max", "8:0 rbps=1 wbps=max riops=max wiops=max\n"),
            ("io.weight", "default 100\n"),
        ]);
        let settings = [
            Setting::new("f", "pids.max", 7),
            Setting::new("f", "io.max", "8:0 rbps=2\n8:16 rbps=2"),
            Setting::new("f", "io.weight", 4950),
            Setting::new("f", "io.weight", "8:0 4950"),
            Setting::new("f", "memory.max", 1),
        ];
        let values: Vec<String> =
            current(cgroup.path(), &settings).into_iter().map(|setting| setting.value).collect();
        assert_eq!(
            values,
            [
                "max",
                "8:0 rbps=1 wbps=max riops=max wiops=max\n8:16 rbps=max wbps=max riops=max wiops=max",
                "default 100",
                "8:0 default",
            ]
        );
    }
}
