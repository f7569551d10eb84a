//! The machine that the doctor looks at: files below a root, and facts that are in no file.

use std::fs;
use std::path::{Path, PathBuf};

use super::facts::Facts;
use crate::host::Host;
use crate::kernel::sysfs::Sysfs;

/// A machine as it is looked at.
pub(super) struct Machine {
    pub(super) root: PathBuf,
    pub(super) host: Host,
    pub(super) sysfs: Sysfs,
    pub(super) facts: Facts,
}

impl Machine {
    pub(super) fn below(root: &Path, facts: Facts) -> Self {
        let host = Host::below(root);
        Self { root: root.to_owned(), sysfs: Sysfs(host.sysfs.clone()), host, facts }
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    /// A file's text without blanks around it.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.at(path)).ok().map(|text| text.trim().to_owned())
    }

    /// How many entries a folder has.
    pub(super) fn count(&self, path: &str) -> usize {
        fs::read_dir(self.at(path)).map_or(0, |entries| entries.count())
    }
}
