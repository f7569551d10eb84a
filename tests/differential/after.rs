//! What a container leaves: files, and changes of the host.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::host::Snapshot;
use crate::outcome::Line;
use crate::reaper::{POLL_INTERVAL, Reaper};

const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Lists the files in a folder of the bundle, with their modes and owners.
pub(crate) fn list(folder: &Path, bundle: &Path, lines: &mut Vec<Line>) {
    use std::os::unix::fs::MetadataExt as _;
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let name = path.strip_prefix(bundle).unwrap_or(&path).display().to_string();
        let value = format!("{:o} {}:{}", found.mode(), found.uid(), found.gid());
        lines.push(Line::new(format!("left {name}"), value));
        if found.is_dir() {
            list(&path, bundle, lines);
        }
    }
}

/// The changes of the host that stay: systemd removes a scope, and the kernel a process, a moment
/// after the runtime has ended.
pub(crate) fn changes_since(before: &Snapshot, folder: &Path, reaper: &Reaper) -> Vec<Line> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        reaper.reap();
        let changes = before.changes(&Snapshot::take(folder));
        if changes.is_empty() || Instant::now() >= deadline {
            return changes;
        }
        sleep(10 * POLL_INTERVAL);
    }
}
