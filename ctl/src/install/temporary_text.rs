//! The text that dockerd's file has only while dockerd reloads it, recorded in
//! `/var/lib/runvf/install/docker.reload`: an interrupted uninstall leaves that text, and the next
//! install or uninstall must not take it for a text of the user.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::root::Root;
use super::transaction;
use crate::error::Error;

/// Not `.json`, because those are the records of installs.
const RECORD: &str = "/var/lib/runvf/install/docker.reload";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct TemporaryText {
    file: PathBuf,
    pub(super) text: String,
    /// The text that the file gets after the reload; `None`: it is removed.
    pub(super) then: Option<String>,
}

impl TemporaryText {
    pub(super) fn load(root: &Root, file: &Path) -> Result<Option<Self>, Error> {
        let record = root.read(RECORD)?.and_then(|text| serde_json::from_str::<Self>(&text).ok());
        Ok(record.filter(|record| record.file == file))
    }

    /// Replaces the file's text `then` by `text`, until [`TemporaryText::end`].
    pub(super) fn begin(
        root: &Root,
        file: &Path,
        text: String,
        then: Option<String>,
    ) -> Result<Self, Error> {
        let record = Self { file: file.to_owned(), text, then };
        let json = serde_json::to_string_pretty(&record).unwrap_or_default() + "\n";
        let (mode_from, old) = (Some(file.to_owned()), root.read(RECORD)?);
        // With the mode of the file, because it holds its text.
        let saved = Change::between(RECORD, old, Some(json)).map(|it| Change { mode_from, ..it });
        let change = Change::between(file, record.then.clone(), Some(record.text.clone()));
        let changes: Vec<_> = saved.into_iter().chain(change).collect();
        transaction::apply(root, &changes)?.keep();
        Ok(record)
    }

    /// Gives the file the text that it should have. Returns `false` if the file was edited in the
    /// meantime; it then keeps the edit.
    pub(super) fn end(self, root: &Root) -> Result<bool, Error> {
        let is_unedited = root.read(&self.file)?.as_ref() == Some(&self.text);
        if is_unedited {
            let change = Change::between(&self.file, Some(self.text), self.then);
            transaction::apply(root, change.as_slice())?.keep();
        }
        Self::forget(root)?;
        Ok(is_unedited)
    }

    /// Removes the record: the file has the text that it should have.
    pub(super) fn forget(root: &Root) -> Result<(), Error> {
        let change = Change::between(RECORD, root.read(RECORD)?, None);
        transaction::apply(root, change.as_slice())?.keep();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FILE: &str = "/daemon.json";

    #[test]
    fn text_after_the_reload_is_written_unless_the_file_was_edited() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let path = dir.path().join("daemon.json");
        for then in [Some("{}".to_owned()), None] {
            if let Some(then) = &then {
                fs::write(&path, then).unwrap();
            }
            let begin = || {
                TemporaryText::begin(&root, Path::new(FILE), "explicit".to_owned(), then.clone())
            };
            let temporary = begin().unwrap();
            assert_eq!(root.read(FILE).unwrap().unwrap(), "explicit");
            assert_eq!(
                TemporaryText::load(&root, Path::new(FILE)).unwrap(),
                Some(temporary.clone())
            );
            assert!(temporary.end(&root).unwrap());
            assert_eq!(root.read(FILE).unwrap(), then);

            let temporary = begin().unwrap();
            fs::write(&path, "edited").unwrap();
            assert!(!temporary.end(&root).unwrap());
            assert_eq!(root.read(FILE).unwrap().unwrap(), "edited");
            assert_eq!(TemporaryText::load(&root, Path::new(FILE)).unwrap(), None);
            fs::remove_file(&path).unwrap();
        }
    }
}
