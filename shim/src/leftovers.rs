//! What libcontainer's `exec` leaves in the container's folder, once for each process it adds: the socket that told the
//! process to start, and a link to the console's (`tenant_builder.rs`). A health check would fill `/run` with them.
//!
//! Their names are random and known to libcontainer alone, and another `exec` may be using one. So a socket goes that nobody
//! has open, and a link that leads nowhere. Trying to connect would start the other's process.

use std::fs;
use std::path::{Path, PathBuf};

/// Best effort: what stays here goes with the next one, or with the container.
pub(crate) fn remove(folder: &Path) {
    let found: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    // After the names: a socket that is in use then still is, or has been used.
    let Ok(open) = fs::read_to_string("/proc/net/unix") else { return };
    for path in found.iter().filter(|path| is_left_over(path, &open)) {
        let _ = fs::remove_file(path);
    }
}

/// `open` is proc(5)'s table, with names as they were bound: libcontainer changes to the folder first.
fn is_left_over(path: &Path, open: &str) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let is_open = || open.lines().any(|line| line.split(' ').next_back() == Some(name));
    match name {
        _ if name.starts_with("tenant-notify-") => !is_open(),
        _ if name.starts_with("tenant-tty-") => !path.exists(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_in_use_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["tenant-notify-1.sock", "tenant-notify-12.sock", "notify.sock", "state.json"] {
            fs::write(path(name), "").unwrap();
        }
        symlink(path("state.json"), path("tenant-tty-1.sock")).unwrap();
        symlink(path("gone"), path("tenant-tty-2.sock")).unwrap();
        let open = "Num RefCount Protocol Flags Type St Inode Path\n\
                    0: 00000002 00000000 00010000 0001 01 9 tenant-notify-12.sock\n";
        let left = |name: &str| is_left_over(&path(name), open);
        assert!(left("tenant-notify-1.sock") && left("tenant-tty-2.sock"));
        assert!(!left("tenant-notify-12.sock") && !left("tenant-tty-1.sock"));
        assert!(!left("notify.sock") && !left("state.json"));
        // None of them is bound on this machine.
        remove(folder.path());
        assert!(!path("tenant-notify-12.sock").exists() && path("state.json").exists());
    }
}
