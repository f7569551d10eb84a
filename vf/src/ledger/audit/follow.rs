//! Follows the audit log: the entries that were appended since the last look.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::entry::Entry;
use crate::host::Host;

/// The most bytes that one look reads; the next look continues there.
const MAX_BYTES: u64 = 1 << 20;
/// The most bytes of a line that are kept. Longer lines are no entries of runvf and are skipped.
const MAX_LINE: usize = 64 << 10;

/// A reader that has seen the audit log up to some place.
#[derive(Debug)]
pub struct AuditFollower {
    path: PathBuf,
    /// The open log; logrotate may have renamed it since.
    file: Option<File>,
    /// The begin of a line without its end, which a writer has not written yet.
    begun: Vec<u8>,
    /// Whether the rest of the line is skipped, because it is too long.
    skips: bool,
}

impl AuditFollower {
    /// Starts at the end of the log: entries that are there now are not returned.
    ///
    /// # Errors
    /// When the log exists and cannot be opened.
    pub fn at_end(host: &Host) -> io::Result<Self> {
        let mut file = open(&host.audit)?;
        if let Some(file) = &mut file {
            file.seek(SeekFrom::End(0))?;
        }
        Ok(Self { path: host.audit.clone(), file, begun: Vec::new(), skips: false })
    }

    /// The entries since the last call, from at most [`MAX_BYTES`] of the log. Unreadable lines are
    /// skipped.
    ///
    /// If the log was rotated, the rest of the old file is read first, and the new file in the same
    /// call. An entry of a log that was rotated twice between two calls is missed.
    ///
    /// # Errors
    /// When the log exists and cannot be read.
    pub fn next_entries(&mut self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let read = self.read(&mut entries)?;
        if read < MAX_BYTES && self.is_rotated()? {
            // The last line of the old file was complete, or never will be.
            (self.file, self.skips) = (open(&self.path)?, false);
            self.begun.clear();
            self.read(&mut entries)?;
        }
        Ok(entries)
    }

    /// Reads from the open file, and returns the number of bytes.
    fn read(&mut self, entries: &mut Vec<Entry>) -> io::Result<u64> {
        let Some(file) = &mut self.file else { return Ok(0) };
        let at = file.stream_position()?;
        if file.metadata()?.len() < at {
            // The log was emptied.
            file.seek(SeekFrom::Start(0))?;
            (self.begun, self.skips) = (Vec::new(), false);
        }
        let mut bytes = Vec::new();
        let read = file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.add(piece, entries);
        }
        Ok(read as u64)
    }

    /// Adds a piece of a line.
    fn add(&mut self, piece: &[u8], entries: &mut Vec<Entry>) {
        let is_end = piece.ends_with(b"\n");
        if self.begun.len() + piece.len() > MAX_LINE {
            self.skips = true;
            self.begun = Vec::new();
        }
        if !self.skips {
            self.begun.extend(piece);
        }
        if is_end {
            // A skipped line is empty here, which is no entry.
            entries.extend(serde_json::from_slice::<Entry>(&self.begun));
            self.begun.clear();
            self.skips = false;
        }
    }

    /// Whether another file is at the path of the log now.
    fn is_rotated(&self) -> io::Result<bool> {
        let now = match self.path.symlink_metadata() {
            Ok(now) => now,
            // logrotate has renamed the log and not created the next one yet.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let Some(file) = &self.file else { return Ok(true) };
        let open = file.metadata()?;
        Ok((now.dev(), now.ino()) != (open.dev(), open.ino()))
    }
}

/// `None`: there is no log.
fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::ledger::audit::Event;

    fn append(host: &Host, text: &[u8]) {
        fs::create_dir_all(host.audit.parent().unwrap()).unwrap();
        let mut log = OpenOptions::new().create(true).append(true).open(&host.audit).unwrap();
        log.write_all(text).unwrap();
    }

    fn line(reason: &str) -> Vec<u8> {
        let reason = Some(reason.to_owned());
        let entry = Entry { reason, ..Entry::without_vf(Event::Refused) };
        [serde_json::to_vec(&entry).unwrap(), b"\n".to_vec()].concat()
    }

    fn reasons(follower: &mut AuditFollower) -> Vec<String> {
        let entries = follower.next_entries().unwrap();
        entries.into_iter().filter_map(|entry| entry.reason).collect()
    }

    #[test]
    fn a_follower_returns_each_later_entry_once_also_across_a_rotation() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::with_root(root.path());
        let mut from_nothing = AuditFollower::at_end(&host).unwrap();
        assert_eq!(reasons(&mut from_nothing), [""; 0]);
        append(&host, &line("a"));
        let mut follower = AuditFollower::at_end(&host).unwrap();
        assert_eq!(reasons(&mut follower), [""; 0]);
        let second = line("b");
        append(&host, &second[..9]);
        assert_eq!(reasons(&mut follower), [""; 0]);
        append(&host, &second[9..]);
        append(&host, b"no entry\n");
        assert_eq!(reasons(&mut follower), ["b"]);
        append(&host, &line("c"));
        fs::rename(&host.audit, host.audit.with_extension("jsonl.1")).unwrap();
        assert_eq!(reasons(&mut follower), ["c"]);
        append(&host, &line("d"));
        assert_eq!(reasons(&mut follower), ["d"]);
        // It reads no file that was rotated before its first look.
        assert_eq!(reasons(&mut from_nothing), ["d"]);
        fs::write(&host.audit, "").unwrap();
        assert_eq!(reasons(&mut follower), [""; 0]);
        append(&host, &line("e"));
        assert_eq!(reasons(&mut follower), ["e"]);
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory_and_hides_no_other_line() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::with_root(root.path());
        append(&host, b"");
        let mut follower = AuditFollower::at_end(&host).unwrap();
        append(&host, &vec![b'x'; 3 << 20]);
        for _ in 0..4 {
            assert_eq!(reasons(&mut follower), [""; 0]);
            assert!(follower.begun.capacity() <= MAX_LINE);
        }
        append(&host, b"\n");
        append(&host, &line("a"));
        assert_eq!(reasons(&mut follower), ["a"]);
    }
}
