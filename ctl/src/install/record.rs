//! What an installation must remember to be undone to the byte: the user's file as it was, kept beside it, and
//! `/var/lib/runvf/install/ENGINE.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::root::Root;
use crate::error::Error;

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Record {
    /// The engine's file that was changed.
    pub(crate) file: PathBuf,
    /// Where the file as it was before is kept; `None` if there was none.
    pub(crate) backup: Option<PathBuf>,
    /// Whether runvf was made the default runtime.
    pub(crate) default: bool,
    /// The default runtime of before, as the file had it.
    pub(crate) default_before: Option<String>,
}

/// A record, and the file before runvf came into it.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    pub(crate) record: Record,
    /// `None` if there was no file.
    pub(crate) text: Option<String>,
}

fn path(engine: &str) -> PathBuf {
    Path::new("/var/lib/runvf/install").join(format!("{engine}.json"))
}

/// What is known of this file, if anything is: without it, uninstalling is an edit like any other.
pub(crate) fn find(root: &Root, engine: &str, file: &Path) -> Result<Option<Before>, Error> {
    let record = root.read(path(engine))?;
    let record = record.and_then(|text| serde_json::from_str::<Record>(&text).ok());
    let Some(record) = record.filter(|record| record.file == file) else { return Ok(None) };
    let text = match &record.backup {
        None => None,
        Some(backup) => match root.read(backup)? {
            None => return Ok(None),
            there => there,
        },
    };
    Ok(Some(Before { record, text }))
}

impl Before {
    /// The file as it is now, before its first change.
    pub(crate) fn now(root: &Root, file: &Path, text: Option<String>) -> Self {
        let backup = text.as_ref().map(|_| free_name(root, file));
        let record = Record { file: file.to_owned(), backup, ..Record::default() };
        Self { record, text }
    }

    /// What keeps it.
    pub(crate) fn kept(&self, root: &Root, engine: &str) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        if let Some(backup) = &self.record.backup {
            let copy = Change::between(backup, root.read(backup)?, self.text.clone());
            changes
                .extend(copy.map(|copy| Change { like: Some(self.record.file.clone()), ..copy }));
        }
        let text = serde_json::to_string_pretty(&self.record).unwrap_or_default() + "\n";
        changes.extend(Change::between(path(engine), root.read(path(engine))?, Some(text)));
        Ok(changes.into_iter().map(Change::quiet).collect())
    }

    /// What forgets it. The backup of a file that has been edited since stays: it is not what the file will be.
    pub(crate) fn forgotten(
        &self,
        root: &Root,
        engine: &str,
        exact: bool,
    ) -> Result<Vec<Change>, Error> {
        let mut changes = vec![Change::between(path(engine), root.read(path(engine))?, None)];
        if let Some(backup) = self.record.backup.as_ref().filter(|_| exact) {
            changes.push(Change::between(backup, root.read(backup)?, None));
        }
        Ok(changes.into_iter().flatten().map(Change::quiet).collect())
    }
}

/// An earlier backup may be all that is left of what somebody wrote, so it stays.
fn free_name(root: &Root, file: &Path) -> PathBuf {
    let mut name = format!("{}.runvf-backup", file.display());
    let mut number = 1;
    while root.has(&name) {
        number += 1;
        name = format!("{}.runvf-backup-{number}", file.display());
    }
    PathBuf::from(name)
}
