//! The file for node_exporter's textfile collector.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::config::Config;
use crate::log;
use crate::metrics;
use crate::state::State;
use crate::view::View;

/// As often as Prometheus usually scrapes.
const WRITE_INTERVAL: Duration = Duration::from_secs(15);

/// Writes the file again and again, if the configuration names one.
pub(super) async fn keep_writing(
    config: &Config,
    state: Arc<State>,
    mut views: watch::Receiver<Option<Arc<View>>>,
) {
    let Some(path) = &config.textfile else { return };
    let mut failed = false;
    while views.changed().await.is_ok() {
        let Some(view) = views.borrow_and_update().clone() else { continue };
        let (path, text) = (path.clone(), metrics::render(&view, &state));
        // The file system may hang. Then one thread hangs with it, and the file becomes old.
        let written = tokio::task::spawn_blocking(move || write(&path, &text)).await;
        let error = written.map_err(io::Error::other).and_then(|written| written).err();
        if let Some(error) = &error {
            state.health.errors.add(1);
            if !failed {
                log::warning(format!("cannot write the textfile: {error}"));
            }
        }
        failed = error.is_some();
        sleep(WRITE_INTERVAL).await;
    }
}

/// Writes a new file and renames it, so that the collector never reads a part of the text.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    // The collector reads only names that end in `.prom`.
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // A file that a killed monitor left, or a symlink of another user.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    let written = file
        .write_all(text.as_bytes())
        // The monitor's umask would keep node_exporter's user out.
        .and_then(|()| file.set_permissions(Permissions::from_mode(0o644)))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
