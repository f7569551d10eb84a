//! The paths of one guest: a temporary folder, and logs that stay.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::cache::Cache;
use crate::error::{Result, at};
use crate::logs;

const PREFIX: &str = "runvf-lab-";

pub(crate) struct Paths {
    pub(crate) folder: TempDir,
    pub(crate) console: PathBuf,
    pub(crate) transcript: PathBuf,
    /// The journal of the X710's device model.
    pub(crate) journal: PathBuf,
}

impl Paths {
    /// Creates the folder of a new guest, and removes leftovers of earlier guests.
    pub(crate) fn create(cache: &Cache) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let temp = std::env::temp_dir();
        remove_folders_of_dead_processes(&temp);
        let process = std::process::id();
        // Not in the cache: the path of a Unix socket has at most 107 bytes.
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{process}-"))
            .tempdir_in(&temp)
            .map_err(at(&temp))?;
        let logs = cache.logs();
        logs::prune(&logs);
        let name = format!("{process}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let log = |kind| logs.join(format!("{name}.{kind}"));
        Ok(Self {
            folder,
            console: log("console"),
            transcript: log("transcript"),
            journal: log("journal"),
        })
    }
}

/// Removes the folders that killed processes left behind. A folder stays for now if another process
/// has got the same process id.
fn remove_folders_of_dead_processes(temp: &Path) {
    let Ok(entries) = fs::read_dir(temp) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        // Only a folder with a process id in its name: folders of other programs may start with the
        // same prefix.
        let owner: Option<u32> = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
