//! Log files: their last lines, and the removal of old ones.

use std::fs;
use std::path::Path;

const FILES_KEPT: usize = 80;
const TAIL_LINES: usize = 25;

/// The last lines of a log, for an error message.
pub(crate) fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    format!("--- end of {}\n{}", path.display(), last.join("\n"))
}

/// Removes all but the newest files of the folder.
///
/// It ignores errors: another process may remove the same files, and an old log does no harm.
pub(crate) fn prune(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut dated: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    dated.sort();
    for (_, path) in dated.iter().rev().skip(FILES_KEPT) {
        let _ = fs::remove_file(path);
    }
}
