//! What is to become of a file, as a value: shown it is the dry run, applied it is the installation.

use std::path::PathBuf;

use similar::TextDiff;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// As the user knows it: below no other root, and before symlinks.
    pub(crate) path: PathBuf,
    /// `None` is a file that is not there.
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
    /// A file of runvf's own, which keeps what uninstalling needs. Nobody asked for it, so it is not shown.
    pub(crate) quiet: bool,
    /// Whose mode and owner a new file gets.
    pub(crate) like: Option<PathBuf>,
}

impl Change {
    /// `None` if there is nothing to change.
    pub(crate) fn between(
        path: impl Into<PathBuf>,
        old: Option<String>,
        new: Option<String>,
    ) -> Option<Self> {
        (old != new).then(|| Self { path: path.into(), old, new, quiet: false, like: None })
    }

    pub(crate) fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    /// Whether it takes away what uninstalling needs.
    pub(crate) fn forgets(&self) -> bool {
        self.quiet && self.new.is_none()
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
    fn the_dry_run_is_a_unified_diff() {
        assert_eq!(
            diff(Some("{\n  \"debug\": true\n}"), Some("{\n  \"debug\": true,\n  \"a\": 1\n}")),
            "--- /etc/docker/daemon.json\n+++ /etc/docker/daemon.json\n@@ -1,3 +1,4 @@\n {\n-  \"debug\": true\n+  \"debug\": true,\n\
             +  \"a\": 1\n }\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_dev_null() {
        assert_eq!(
            diff(None, Some("{}\n")),
            "--- /dev/null\n+++ /etc/docker/daemon.json\n@@ -0,0 +1 @@\n+{}\n"
        );
        assert!(diff(Some("{}\n"), None).contains("+++ /dev/null\n"));
    }
}
