//! The host that the doctor checks: files below a root directory, and facts that are in no file.

use std::fs;
use std::path::{Path, PathBuf};

use super::facts::Facts;
use crate::host::Host;
use crate::kernel::sysfs::Sysfs;

/// The host that is checked.
pub(super) struct Machine {
    pub(super) root: PathBuf,
    pub(super) host: Host,
    pub(super) sysfs: Sysfs,
    pub(super) facts: Facts,
}

impl Machine {
    pub(super) fn with_root(root: &Path, facts: Facts) -> Self {
        let host = Host::with_root(root);
        Self { root: root.to_owned(), sysfs: Sysfs(host.sysfs.clone()), host, facts }
    }

    /// The place of an absolute path below the root.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether the path exists. A symlink exists even if its target does not.
    pub(super) fn has(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    /// Reads a file and removes white space at both ends. `None`: the file cannot be read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.at(path)).ok().map(|text| text.trim().to_owned())
    }

    /// Counts the entries of a directory. 0: it cannot be read.
    pub(super) fn count(&self, path: &str) -> usize {
        fs::read_dir(self.at(path)).map_or(0, |entries| entries.count())
    }
}
