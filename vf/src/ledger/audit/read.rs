//! Reads the audit log and its rotated files.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::spool::spool_files;
use crate::error::Error;
use crate::host::Host;
use crate::kernel::process::boot_id;

/// The content of the audit log.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// All entries, oldest first.
    pub entries: Vec<Entry>,
    /// One message for each unreadable line: file, line number and reason.
    pub damaged: Vec<String>,
    /// The current boot id, to compare with [`Entry::boot`].
    pub boot: String,
}

/// Reads the audit log, the files that logrotate made of it (`audit.jsonl.1` and so on), and the
/// entries that wait in the spool. Compressed files are skipped. A missing file counts as empty.
///
/// A claim's entry that is there twice is returned once: see `spool::flush_spool`.
///
/// # Errors
/// [`KernelError::File`] when a file exists and cannot be read.
pub fn audit(host: &Host) -> Result<Audit, Error> {
    let mut audit = Audit { boot: boot_id()?, ..Audit::default() };
    let mut seen = HashSet::new();
    for path in files(&host.audit).into_iter().chain(spool_files(host)) {
        let failed = Error::file("read", &path);
        let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
        match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(file) => audit.add(file, &path, &mut seen).map_err(failed)?,
        }
    }
    Ok(audit)
}

impl Audit {
    /// Adds the entries of a file. `seen` has the lines of the claims' entries before it.
    fn add(&mut self, file: File, path: &Path, seen: &mut HashSet<Vec<u8>>) -> std::io::Result<()> {
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
            match serde_json::from_slice::<Entry>(&line) {
                Ok(entry) if entry.claim.is_some() && !seen.insert(line.trim_ascii().to_vec()) => {}
                Ok(entry) => self.entries.push(entry),
                Err(error) => {
                    let problem = format!("{}: line {number} is damaged: {error}", path.display());
                    self.damaged.push(problem.replace(char::is_control, " "));
                }
            }
        }
        Ok(())
    }
}

/// The audit log and its rotated files, oldest first. The oldest has logrotate's highest number.
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
