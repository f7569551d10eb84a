//! The lines as they were written, the rotated files' first.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::entry::Entry;
use crate::error::Error;
use crate::host::Host;
use crate::kernel::process::boot_id;

/// What is on record.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// The oldest first.
    pub entries: Vec<Entry>,
    /// Of each line that is none: where it is, and why.
    pub damaged: Vec<String>,
    /// This boot of the machine, as [`Entry::boot`] has it.
    pub boot: String,
}

/// Reads the file and those that logrotate has made of it (`audit.jsonl.1` and so on) and not compressed. No file is no entry.
///
/// # Errors
/// [`KernelError::File`] when there is a file and it cannot be read.
pub fn audit(host: &Host) -> Result<Audit, Error> {
    let mut audit = Audit { boot: boot_id()?, ..Audit::default() };
    for path in files(&host.audit) {
        let failed = Error::file("read", &path);
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(file) => audit.add(file, &path).map_err(failed)?,
        }
    }
    Ok(audit)
}

impl Audit {
    fn add(&mut self, file: File, path: &Path) -> std::io::Result<()> {
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(entry) => self.entries.push(entry),
                Err(error) => {
                    let what = format!("{}: line {number} is damaged: {error}", path.display());
                    self.damaged.push(what.replace(char::is_control, " "));
                }
            }
        }
        Ok(())
    }
}

/// The oldest first: the higher logrotate's number, the older.
fn files(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = |path: &PathBuf| {
        path.file_name()?.to_str()?.strip_prefix(&*name)?.strip_prefix('.')?.parse::<u32>().ok()
    };
    let folder = path.parent().into_iter().flat_map(fs::read_dir).flatten();
    let mut rotated: Vec<(u32, PathBuf)> = folder
        .filter_map(Result::ok)
        .filter_map(|entry| Some((number(&entry.path())?, entry.path())))
        .collect();
    rotated.sort_by(|one, other| other.cmp(one));
    rotated.into_iter().map(|(_, path)| path).chain([path.to_owned()]).collect()
}
