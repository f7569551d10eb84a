//! The change of one file, as a value: a dry run prints it, an install applies it.

use std::path::PathBuf;

use similar::TextDiff;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The path as the user writes it: not below `--root`, symlinks not followed.
    pub(crate) path: PathBuf,
    /// `None`: the file does not exist.
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
    /// A file of runvf's own (backup or record). The user did not ask for it, so it is not shown.
    pub(crate) internal: bool,
    /// A new file gets the mode and owner of this file.
    pub(crate) mode_from: Option<PathBuf>,
}

impl Change {
    /// Returns `None` if old and new are equal.
    pub(crate) fn between(
        path: impl Into<PathBuf>,
        old: Option<String>,
        new: Option<String>,
    ) -> Option<Self> {
        (old != new).then(|| Self { path: path.into(), old, new, internal: false, mode_from: None })
    }

    pub(crate) fn internal(self) -> Self {
        Self { internal: true, ..self }
    }

    /// Whether the change removes a backup or a record, without which uninstall cannot be repeated.
    pub(crate) fn removes_undo_data(&self) -> bool {
        self.internal && self.new.is_none()
    }

    pub(crate) fn diff(&self) -> String {
        let name = |text: &Option<String>| match text {
            Some(_) => self.path.display().to_string(),
            None => "/dev/null".to_owned(),
        };
        let (old, new) =
            (self.old.as_deref().unwrap_or_default(), self.new.as_deref().unwrap_or_default());
        TextDiff::from_lines(old, new)
            .unified_diff()
            .header(&name(&self.old), &name(&self.new))
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(old: Option<&str>, new: Option<&str>) -> String {
        let [old, new] = [old, new].map(|text| text.map(str::to_owned));
        Change::between("/etc/docker/daemon.json", old, new).unwrap().diff()
    }

    #[test]
    fn diff_is_unified() {
        assert_eq!(
            diff(Some("{\n  \"debug\": true\n}"), Some("{\n  \"debug\": true,\n  \"a\": 1\n}")),
            "--- /etc/docker/daemon.json\n+++ /etc/docker/daemon.json\n@@ -1,3 +1,4 @@\n {\n-  \"debug\": true\n+  \"debug\": true,\n\
             +  \"a\": 1\n }\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn missing_file_is_shown_as_dev_null() {
        assert_eq!(
            diff(None, Some("{}\n")),
            "--- /dev/null\n+++ /etc/docker/daemon.json\n@@ -0,0 +1 @@\n+{}\n"
        );
        assert!(diff(Some("{}\n"), None).contains("+++ /dev/null\n"));
    }
}
