//! The cache of built images: one folder per stage, named by the stage and a hash of its inputs.
//!
//! A stage is built under a temporary name and then renamed, so a folder with the final name is
//! complete. A file lock serializes the builders of one stage; the second builder finds the result
//! of the first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::error::{Result, at};
use crate::lock::lock;

/// Longer than any stage takes to build.
const LOCK_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Hash of the inputs of a stage. The same inputs in the same order give the same folder.
#[derive(Default)]
pub(crate) struct Inputs(Sha256);

impl Inputs {
    /// Adds bytes, after their length: without it "ab" + "c" would be the same input as "a" + "bc".
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a file, or a folder with all it contains: names, executable bits and contents.
    pub(crate) fn path(self, path: &Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let meta = fs::symlink_metadata(path).map_err(at(path))?;
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let mut inputs = self.bytes(name);
        if meta.is_symlink() {
            let target = fs::read_link(path).map_err(at(path))?;
            return Ok(inputs.bytes(target.as_os_str().as_encoded_bytes()));
        }
        if !meta.is_dir() {
            let executable = meta.permissions().mode() & 0o111 != 0;
            return Ok(inputs
                .bytes(&[u8::from(executable)])
                .bytes(&fs::read(path).map_err(at(path))?));
        }
        for entry in sorted(path)? {
            inputs = inputs.path(&entry)?;
        }
        Ok(inputs.bytes(b"end of folder"))
    }

    fn hash(self) -> String {
        self.0.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(at(folder))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(at(folder))?;
    paths.sort();
    Ok(paths)
}

/// The cache's folder.
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Opens `$RUNVF_LAB_CACHE`, or `runvf-lab` in the user's cache folder.
    pub(crate) fn open() -> Result<Self> {
        let variable =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = variable("RUNVF_LAB_CACHE")
            .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("runvf-lab")))
            .or_else(|| variable("HOME").map(|home| home.join(".cache/runvf-lab")))
            .unwrap_or_else(|| std::env::temp_dir().join("runvf-lab"));
        Self::at(root)
    }

    fn at(root: PathBuf) -> Result<Self> {
        fs::create_dir_all(root.join("logs")).map_err(at(&root))?;
        Ok(Self { root: root.canonicalize().map_err(at(&root))? })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Returns the folder of `stage` for these inputs. If it does not exist, `build` fills it, and
    /// the folders of the same stage with other inputs are removed.
    pub(crate) fn stage(
        &self,
        stage: &str,
        inputs: Inputs,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let name = format!("{stage}-{}", inputs.hash());
        let folder = self.root.join(&name);
        if folder.is_dir() {
            return Ok(folder);
        }
        let _lock = lock(&self.root.join(format!("{stage}.lock")), LOCK_TIMEOUT)?;
        if folder.is_dir() {
            return Ok(folder);
        }
        // Every other folder of this stage is outdated, or incomplete because its builder died:
        // this process holds the lock.
        self.remove_others(stage)?;
        let unfinished = self.root.join(format!("{name}.unfinished"));
        fs::create_dir(&unfinished).map_err(at(&unfinished))?;
        build(&unfinished)?;
        fs::rename(&unfinished, &folder).map_err(at(&folder))?;
        Ok(folder)
    }

    fn remove_others(&self, stage: &str) -> Result<()> {
        let prefix = format!("{stage}-");
        for path in sorted(&self.root)? {
            let same_stage =
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
            if same_stage && path.is_dir() {
                fs::remove_dir_all(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_stage_is_built_once_and_replaced_when_its_inputs_change() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::at(temp.path().to_owned()).unwrap();
        let fill = |folder: &Path| fs::write(folder.join("x"), "1").map_err(at(folder));
        let first = cache.stage("guest", Inputs::default().bytes(b"a"), fill).unwrap();
        let again =
            cache.stage("guest", Inputs::default().bytes(b"a"), |_| panic!("built twice")).unwrap();
        assert_eq!(first, again);
        let second = cache.stage("guest", Inputs::default().bytes(b"b"), fill).unwrap();
        assert!(second.join("x").exists() && !first.exists());
    }

    #[test]
    fn the_folder_of_a_failed_build_is_not_used() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::at(temp.path().to_owned()).unwrap();
        cache.stage("guest", Inputs::default(), |_| Err(Error::NotRunning)).unwrap_err();
        let fill = |folder: &Path| fs::write(folder.join("x"), "1").map_err(at(folder));
        let built = cache.stage("guest", Inputs::default(), fill).unwrap();
        assert!(built.join("x").exists());
    }

    #[test]
    fn the_hash_covers_contents_and_the_executable_bit() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let hash = || Inputs::default().path(temp.path()).unwrap().hash();
        fs::write(temp.path().join("x"), "1").unwrap();
        let one = hash();
        fs::write(temp.path().join("x"), "2").unwrap();
        let two = hash();
        fs::set_permissions(temp.path().join("x"), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(one != two && two != hash());
    }
}
