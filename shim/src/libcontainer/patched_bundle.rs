//! A temporary bundle with the spec from `spec_patch.rs`. libcontainer takes only the bundle's path
//! and reads `config.json` itself. So runvf gives it the path of a symlink. While libcontainer reads
//! the spec, the symlink leads to a folder with the patched `config.json`. Afterwards it leads to
//! the real bundle, because hooks and the container's state must name the real bundle.
//!
//! It would be simpler to rewrite the bundle's own file. But that file belongs to the engine or to a
//! user, may be on a read-only mount, and would stay changed if runvf were killed.

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

/// A temporary bundle, which is removed on drop.
///
/// libcontainer opens `config.json`, reads it to its end, and only then resolves the bundle's path
/// (`init_builder.rs`, `load_spec` and `create_container_state`). Here `config.json` is a pipe, so
/// the writer changes the symlink before it ends the file. The text is longer than the pipe's
/// capacity, so the writer can finish only after libcontainer has opened the file and read a part.
///
/// libcontainer forks by clone(2) while the writer thread exists. clone(2) does not reset the
/// allocator's locks in the child, so the thread must hold no such lock at that time. After it has
/// written the file, the thread therefore waits in read(2) for [`Drop`]. A thread that exits by
/// itself could hold such a lock while libcontainer forks.
#[must_use]
pub(crate) struct PatchedBundle {
    folder: TempDir,
    spec_reader: Option<OwnedFd>,
    exit_sender: File,
    writer: Option<JoinHandle<()>>,
}

impl PatchedBundle {
    pub(crate) fn new(spec: &Spec, bundle: &Path) -> Result<Self, Error> {
        let folder = create_folder().map_err(Error::file("create", "a temporary bundle"))?;
        let failed = |source| Error::file("write to", folder.path())(source);
        let (patched, link) = (folder.path().join("patched"), folder.path().join("bundle"));
        let (file, next_link) = (patched.join("config.json"), folder.path().join("next"));
        let no_pipe = |errno| Error::kernel("create a pipe for the spec")(errno);
        let (spec_reader, spec_writer) = pipe2(OFlag::O_CLOEXEC).map_err(no_pipe)?;
        let (exit_receiver, exit_sender) = pipe2(OFlag::O_CLOEXEC).map_err(no_pipe)?;
        // The smallest capacity, because libcontainer reads and parses the spaces, too. The kernel
        // rounds it up to a page.
        let capacity = fcntl(&spec_writer, FcntlArg::F_SETPIPE_SZ(1)).map_err(no_pipe)?;
        let mut text = vec![b' '; usize::try_from(capacity).unwrap_or_default()];
        text.extend(serialize(spec, bundle, &file)?);
        fs::create_dir(&patched).map_err(failed)?;
        symlink(format!("/proc/self/fd/{}", spec_reader.as_raw_fd()), &file).map_err(failed)?;
        symlink(&patched, &link).map_err(failed)?;
        symlink(bundle, &next_link).map_err(failed)?;
        let write = move || {
            let mut spec_writer = File::from(spec_writer);
            let mut exit_receiver = File::from(exit_receiver);
            // The write fails only if libcontainer stops reading, and then its own error is
            // reported. `create` detects a failed rename, because it compares the bundles.
            let _ = spec_writer.write_all(&text).and_then(|()| fs::rename(next_link, link));
            drop(spec_writer);
            let _ = exit_receiver.read(&mut [0]);
        };
        let no_thread = |_| Error::kernel("start a thread that writes the spec")(Errno::EAGAIN);
        let writer = thread::Builder::new().spawn(write).map_err(no_thread)?;
        Ok(Self {
            folder,
            spec_reader: Some(spec_reader),
            exit_sender: exit_sender.into(),
            writer: Some(writer),
        })
    }

    /// The path to give to libcontainer.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("bundle")
    }
}

impl Drop for PatchedBundle {
    fn drop(&mut self) {
        // Without a reader, the writer thread's next write fails.
        drop(self.spec_reader.take());
        // A byte, because closing the pipe is not enough: the container's init process has inherited
        // this end and keeps it open until it executes its program.
        let _ = self.exit_sender.write_all(&[0]);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// The folder of the temporary bundles. It is on the same tmpfs as the records of containers.
const BUNDLES_DIR: &str = "/run/runvf/stages";

/// Creates a folder in [`BUNDLES_DIR`], or, without root, in the system's folder for temporary
/// files.
pub(super) fn create_folder() -> io::Result<TempDir> {
    let prefix = format!("runvf-{}-", std::process::id());
    let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(BUNDLES_DIR);
    if created.is_err() {
        return TempDir::with_prefix(prefix);
    }
    remove_stale(Path::new(BUNDLES_DIR));
    TempDir::with_prefix_in(prefix, BUNDLES_DIR)
}

/// Removes the folders of runvf processes that were killed.
fn remove_stale(bundles: &Path) {
    for entry in fs::read_dir(bundles).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let mut parts = name.to_str().unwrap_or_default().splitn(3, '-');
        let pid = parts.nth(1).and_then(|pid| pid.parse::<u32>().ok());
        // If another process has reused the pid, the folder stays until that process has ended.
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Serializes a spec. A relative root becomes absolute, because it is relative to the real bundle.
fn serialize(spec: &Spec, bundle: &Path, file: &Path) -> Result<Vec<u8>, Error> {
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
    fn the_path_has_the_patched_spec_and_then_leads_to_the_real_bundle() {
        let bundle = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(bundle.path()).unwrap();
        for length in [10, 200_000] {
            let mut changed = spec();
            changed.set_hostname(Some("x".repeat(length)));
            let patched = PatchedBundle::new(&changed, &real).unwrap();
            // A late reader must get the same spec.
            thread::sleep(std::time::Duration::from_millis(50));
            let read = Spec::load(patched.path().join("config.json")).unwrap();
            assert_eq!(read.hostname(), changed.hostname());
            assert_eq!(read.root().as_ref().unwrap().path(), &real.join("rootfs"));
            assert_eq!(fs::canonicalize(patched.path()).unwrap(), real);
            let folder = patched.folder.path().to_owned();
            drop(patched);
            assert!(!folder.exists() && real.exists());
        }
    }

    #[test]
    fn folders_of_dead_processes_are_removed() {
        let bundles = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let (dead, alive) =
            (format!("runvf-{}-a", child.id()), format!("runvf-{}-b", std::process::id()));
        for name in [dead.as_str(), alive.as_str(), "runvf-x-c", "other"] {
            fs::create_dir(bundles.path().join(name)).unwrap();
        }
        remove_stale(bundles.path());
        let mut left: Vec<_> =
            fs::read_dir(bundles.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["other", alive.as_str(), "runvf-x-c"]);
    }

    #[test]
    fn drop_does_not_wait_for_a_reader() {
        drop(PatchedBundle::new(&spec(), Path::new("/")).unwrap());
    }
}
