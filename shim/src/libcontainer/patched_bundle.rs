//! A bundle with the spec that libcontainer shall read in the place of its own (`spec_patch.rs`). It reads `config.json`
//! itself and is told nothing but the bundle's path, so it gets a folder that has the other `config.json` for as long as it
//! reads, and is the bundle from then on: hooks, and whoever asks for the container's state, must be told the bundle.
//!
//! Rewriting the bundle's own file would be simpler. It is the engine's or a person's, may be on a read-only mount, and would
//! stay as it is if we were killed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use libcontainer::oci_spec::runtime::Spec;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use tempfile::TempDir;

use crate::error::Error;

/// The folder. libcontainer opens `config.json`, reads it to its end, and resolves the folder's path only then
/// (`init_builder.rs`, `load_spec` and `create_container_state`). The file is a pipe, so its end comes when we say. What is written
/// is more than a pipe holds: it is not all written before it was opened and some of it read.
///
/// libcontainer forks while the thread is there, by clone(2), so that nobody puts the allocator's locks right for the child. Once
/// the file has ended the thread only waits in read(2) for its own end: one that ended by itself could be holding such a lock.
#[must_use]
pub(crate) struct PatchedBundle {
    folder: TempDir,
    reading: Option<OwnedFd>,
    dismiss: File,
    writer: Option<JoinHandle<()>>,
}

impl PatchedBundle {
    pub(crate) fn new(spec: &Spec, bundle: &Path) -> Result<Self, Error> {
        let folder = place().map_err(Error::file("make", "a folder"))?;
        let failed = |source| Error::file("fill", folder.path())(source);
        let (own, link) = (folder.path().join("own"), folder.path().join("bundle"));
        let (file, goal) = (own.join("config.json"), folder.path().join("goal"));
        let pipe = |errno| Error::kernel("make a pipe for the spec")(errno);
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).map_err(pipe)?;
        let (dismissed, dismiss) = pipe2(OFlag::O_CLOEXEC).map_err(pipe)?;
        let capacity = fcntl(&writing, FcntlArg::F_GETPIPE_SZ).map_err(pipe)?;
        let mut text = vec![b' '; usize::try_from(capacity).unwrap_or_default()];
        text.extend(whole(spec, bundle, &file)?);
        fs::create_dir(&own).map_err(failed)?;
        symlink(format!("/proc/self/fd/{}", reading.as_raw_fd()), &file).map_err(failed)?;
        symlink(&own, &link).map_err(failed)?;
        symlink(bundle, &goal).map_err(failed)?;
        let write = move || {
            let (mut writing, mut dismissed) = (File::from(writing), File::from(dismissed));
            // If nobody reads, there is nobody to be told.
            let _ = writing.write_all(&text).and_then(|()| fs::rename(goal, link));
            drop(writing);
            let _ = dismissed.read(&mut [0]);
        };
        let none = |_| Error::kernel("start a thread for the spec")(Errno::EAGAIN);
        let writer = thread::Builder::new().spawn(write).map_err(none)?;
        Ok(Self { folder, reading: Some(reading), dismiss: dismiss.into(), writer: Some(writer) })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("bundle")
    }
}

impl Drop for PatchedBundle {
    fn drop(&mut self) {
        // Without a reader the writer's next write fails.
        drop(self.reading.take());
        // A byte and not the end of the file: the container's init process has the other end as well until it becomes its program.
        let _ = self.dismiss.write_all(&[0]);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// On the tmpfs on which all is that describes containers, or where whoever is not root may write.
const STAGES_DIR: &str = "/run/runvf/stages";

fn place() -> io::Result<TempDir> {
    let prefix = format!("runvf-{}-", std::process::id());
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(STAGES_DIR);
    if made.is_err() {
        return TempDir::with_prefix(prefix);
    }
    sweep(Path::new(STAGES_DIR));
    TempDir::with_prefix_in(prefix, STAGES_DIR)
}

/// What those have left who were killed.
fn sweep(stages: &Path) {
    for entry in fs::read_dir(stages).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let mut parts = name.to_str().unwrap_or_default().splitn(3, '-');
        let pid = parts.nth(1).and_then(|pid| pid.parse::<u32>().ok());
        // One whose pid is somebody's by now stays until that one has ended.
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A relative root is below the bundle, and so no longer relative.
fn whole(spec: &Spec, bundle: &Path, file: &Path) -> Result<Vec<u8>, Error> {
    let mut spec = spec.clone();
    if let Some(mut root) = spec.root().clone() {
        root.set_path(bundle.join(root.path()));
        spec.set_root(Some(root));
    }
    serde_json::to_vec(&spec).map_err(|source| Error::Json { path: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> Spec {
        let spec = json!({ "ociVersion": "1.0.2", "root": { "path": "rootfs" }, "linux": {} });
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn what_is_read_is_the_other_spec_and_what_stays_is_the_bundle() {
        let bundle = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(bundle.path()).unwrap();
        for length in [10, 200_000] {
            let mut other = spec();
            other.set_hostname(Some("x".repeat(length)));
            let patched = PatchedBundle::new(&other, &real).unwrap();
            // However late it is read.
            thread::sleep(std::time::Duration::from_millis(50));
            let read = Spec::load(patched.path().join("config.json")).unwrap();
            assert_eq!(read.hostname(), other.hostname());
            assert_eq!(read.root().as_ref().unwrap().path(), &real.join("rootfs"));
            assert_eq!(fs::canonicalize(patched.path()).unwrap(), real);
            let folder = patched.folder.path().to_owned();
            drop(patched);
            assert!(!folder.exists() && real.exists());
        }
    }

    #[test]
    fn what_the_dead_left_is_swept_away() {
        let stages = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let (dead, own) =
            (format!("runvf-{}-a", child.id()), format!("runvf-{}-b", std::process::id()));
        for name in [dead.as_str(), own.as_str(), "runvf-x-c", "other"] {
            fs::create_dir(stages.path().join(name)).unwrap();
        }
        sweep(stages.path());
        let mut left: Vec<_> =
            fs::read_dir(stages.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["other", own.as_str(), "runvf-x-c"]);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_come() {
        drop(PatchedBundle::new(&spec(), Path::new("/")).unwrap());
    }
}
