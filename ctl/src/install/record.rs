//! What uninstall needs to undo an install: a backup beside the user's file, and the record
//! `/var/lib/runvf/install/ENGINE.json`.
//!
//! Both are written before the user's file is changed. Uninstall restores the backup only if the
//! file is still what install wrote, byte for byte. Otherwise it was edited, and only runvf's keys
//! are removed from it. For a record of an earlier runvf, which lacks the written text, the engines'
//! modules compare the values instead of the bytes.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::root::Root;
use crate::error::Error;

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Record {
    /// The engine's file that was changed.
    pub(crate) file: PathBuf,
    /// The copy of the file before the install; `None` if the file did not exist.
    pub(crate) backup: Option<PathBuf>,
    /// The text that install wrote to the file; `None` in the record of an earlier runvf.
    #[serde(default)]
    pub(crate) written: Option<String>,
    /// Whether runvf was made the default runtime.
    pub(crate) default: bool,
    /// The earlier default runtime, as JSON.
    pub(crate) default_before: Option<String>,
}

/// A record, and the text of its backup.
#[derive(Debug, Clone)]
pub(crate) struct UndoData {
    pub(crate) record: Record,
    /// `None`: the file did not exist, or its backup is lost.
    pub(crate) original: Option<String>,
    /// Whether the backup was removed, so that only runvf's keys can be removed from the file.
    pub(crate) is_backup_lost: bool,
}

fn record_path(engine: &str) -> PathBuf {
    Path::new("/var/lib/runvf/install").join(format!("{engine}.json"))
}

impl UndoData {
    /// Reads the record of an engine. Its file may be another one than the engine uses now. Without
    /// a record, uninstall removes runvf's keys.
    pub(crate) fn load(root: &Root, engine: &str) -> Result<Option<Self>, Error> {
        let record = root.read(record_path(engine))?;
        let record = record.and_then(|text| serde_json::from_str::<Record>(&text).ok());
        let Some(record) = record else { return Ok(None) };
        let backup = record.backup.as_ref();
        let original = backup.map(|backup| root.read(backup)).transpose()?.flatten();
        let is_backup_lost = record.backup.is_some() && original.is_none();
        Ok(Some(Self { record, original, is_backup_lost }))
    }

    /// For a file that has this text before its first install.
    pub(crate) fn new(root: &Root, file: &Path, text: Option<String>) -> Self {
        let backup = text.as_ref().map(|_| unused_backup_name(root, file));
        let record = Record { file: file.to_owned(), backup, ..Record::default() };
        Self { record, original: text, is_backup_lost: false }
    }

    /// The files to remove runvf from: the file that install changed, and the engine's current file.
    /// Only the first has undo data.
    pub(crate) fn files(undo: Option<Self>, current: &Path) -> Vec<(PathBuf, Option<Self>)> {
        let earlier = undo.as_ref().map(|undo| undo.record.file.clone());
        let mut files: Vec<_> = earlier.into_iter().map(|file| (file, undo.clone())).collect();
        if files.iter().all(|(file, _)| file != current) {
            files.push((current.to_owned(), None));
        }
        files
    }

    /// The undo data for an install that changes this file, which has this text now. A record of
    /// another file, or of a file from which the user removed runvf, is no longer valid.
    pub(crate) fn for_install(
        undo: Option<Self>,
        root: &Root,
        file: &Path,
        text: Option<String>,
        has_runvf: bool,
    ) -> Self {
        match undo.filter(|undo| undo.record.file == file) {
            Some(undo) if has_runvf => undo,
            // The backup is the file: an earlier uninstall was interrupted at its end.
            Some(undo) if undo.is_original(text.as_deref()) => Self {
                record: Record { default: false, default_before: None, ..undo.record },
                ..undo
            },
            _ => Self::new(root, file, text),
        }
    }

    /// # Errors
    /// When install changed another file than the engine uses now, and `has_runvf` finds runvf in
    /// that file: the record of one install would be lost.
    pub(crate) fn check_file(
        undo: Option<&Self>,
        root: &Root,
        current: &Path,
        has_runvf: impl Fn(&Path, &str) -> bool,
    ) -> Result<(), Error> {
        let Some(earlier) = undo.map(|undo| &undo.record.file).filter(|file| *file != current)
        else {
            return Ok(());
        };
        match root.read(earlier)? {
            Some(text) if has_runvf(earlier, &text) => Err(Error::Conflict {
                problem: format!(
                    "runvf is registered in {}, and the engine now uses {}",
                    earlier.display(),
                    current.display()
                ),
                hint: "run `runvfctl uninstall` for this engine first".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Records that install changes the file from `old` to `new`. If the user edited the file since
    /// an earlier install, the earlier text stays recorded, so that uninstall does not restore the
    /// backup over the edit.
    pub(crate) fn set_written(&mut self, old: Option<&str>, new: &str) {
        if self.is_unedited(old) {
            self.record.written = Some(new.to_owned());
        } else if self.record.written.as_deref() == Some(new) {
            // The install undoes the edit. Install never writes an empty text, so no text of the
            // file counts as unedited from now on.
            self.record.written = Some(String::new());
        }
    }

    /// Whether a file with this text holds no edit of the user: install wrote it, or it is the
    /// original.
    pub(crate) fn is_unedited(&self, text: Option<&str>) -> bool {
        self.is_original(text) || (text.is_some() && text == self.record.written.as_deref())
    }

    fn is_original(&self, text: Option<&str>) -> bool {
        !self.is_backup_lost && text == self.original.as_deref()
    }

    /// The changes that write the backup and the record. Both get the mode of the file, because
    /// they hold its text.
    pub(crate) fn save(&self, root: &Root, engine: &str) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        if let Some(backup) = self.record.backup.as_ref().filter(|_| !self.is_backup_lost) {
            changes.extend(Change::between(backup, root.read(backup)?, self.original.clone()));
        }
        let record = record_path(engine);
        let text = serde_json::to_string_pretty(&self.record).unwrap_or_default() + "\n";
        changes.extend(Change::between(&record, root.read(&record)?, Some(text)));
        let mode_from = Some(self.record.file.clone());
        let with_mode =
            |change: Change| Change { mode_from: mode_from.clone(), ..change.internal() };
        Ok(changes.into_iter().map(with_mode).collect())
    }

    /// The changes that remove the record, and also the backup if the file is restored from it.
    pub(crate) fn remove(
        &self,
        root: &Root,
        engine: &str,
        is_restored: bool,
    ) -> Result<Vec<Change>, Error> {
        let record = record_path(engine);
        let mut changes = vec![Change::between(&record, root.read(&record)?, None)];
        if let Some(backup) = self.record.backup.as_ref().filter(|_| is_restored) {
            changes.push(Change::between(backup, root.read(backup)?, None));
        }
        Ok(changes.into_iter().flatten().map(Change::internal).collect())
    }
}

/// An earlier backup is never overwritten, because it may be the only copy of what the user wrote.
fn unused_backup_name(root: &Root, file: &Path) -> PathBuf {
    let mut name = format!("{}.runvf-backup", file.display());
    let mut number = 1;
    while root.exists(&name) {
        number += 1;
        name = format!("{}.runvf-backup-{number}", file.display());
    }
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edited_text_is_never_recorded_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let mut undo = UndoData::new(&root, Path::new("/x"), Some("original".to_owned()));
        undo.set_written(Some("original"), "first");
        undo.set_written(Some("first"), "second");
        assert!(undo.is_unedited(Some("second")) && undo.is_unedited(Some("original")));
        undo.set_written(Some("second, edited"), "third, edited");
        assert_eq!(undo.record.written.as_deref(), Some("second"));
        assert!(!undo.is_unedited(Some("third, edited")) && !undo.is_unedited(None));
    }

    #[test]
    fn record_without_the_written_text_is_read() {
        let old = r#"{"file":"/x","backup":null,"default":false,"default_before":null}"#;
        assert_eq!(serde_json::from_str::<Record>(old).unwrap().written, None);
    }
}
