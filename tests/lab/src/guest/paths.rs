//! Where one guest keeps its things: a folder that goes with it, and two logs that stay.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::cache::Cache;
use crate::error::{Result, at};

const LOGS_KEPT: usize = 80;

pub(crate) struct Places {
    pub(crate) folder: TempDir,
    pub(crate) console: PathBuf,
    pub(crate) transcript: PathBuf,
}

pub(crate) fn places(cache: &Cache) -> Result<Places> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let temp = std::env::temp_dir();
    sweep(&temp);
    let process = std::process::id();
    // Not in the cache: a socket's path has room for 107 bytes.
    let folder = tempfile::Builder::new()
        .prefix(&format!("runvf-lab-{process}-"))
        .tempdir_in(&temp)
        .map_err(at(&temp))?;
    let logs = cache.logs();
    prune(&logs);
    let name = format!("{process}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let log = |kind| logs.join(format!("{name}.{kind}"));
    Ok(Places { folder, console: log("console"), transcript: log("transcript") })
}

/// Removes what a killed process could not. A process id in use again only delays that.
fn sweep(temp: &Path) {
    let Ok(entries) = fs::read_dir(temp) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        // Only a number: somebody's folder may begin like ours.
        let owner: Option<u32> = name
            .to_str()
            .and_then(|name| name.strip_prefix("runvf-lab-")?.split('-').next()?.parse().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Best effort: two processes may be at it, and an old log that stays harms nobody.
fn prune(logs: &Path) {
    let Ok(entries) = fs::read_dir(logs) else { return };
    let mut dated: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    dated.sort();
    for (_, path) in dated.iter().rev().skip(LOGS_KEPT) {
        let _ = fs::remove_file(path);
    }
}
