//! Where built things live: one folder per stage and hash of what it was made from.
//!
//! A stage is built under a temporary name and renamed, so a folder that bears a stage's name is
//! whole. Two builders of one stage take turns by a file lock; the second finds the first one's
//! work.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result, at};

/// More than any stage takes; a builder that holds a lock for longer is stuck.
const LOCK_WAIT: Duration = Duration::from_secs(15 * 60);

/// What a stage is made from. The same inputs in the same order give the same folder.
#[derive(Default)]
pub(crate) struct Inputs(Sha256);

impl Inputs {
    /// The lengths keep two neighbours from being read as one: "ab"+"c" is not "a"+"bc".
    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// A file, or a folder with everything in it: names, executable bits and contents.
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

pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$RUNVF_LAB_CACHE`, or `runvf-lab` in the user's cache folder.
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

    /// The folder of `stage` for these inputs; `build` fills it if it is not there. Folders of
    /// other inputs go.
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
        let _lock = lock(&self.root.join(format!("{stage}.lock")), LOCK_WAIT)?;
        if folder.is_dir() {
            return Ok(folder);
        }
        // Whatever else of this stage is here is old, or was left half-built by somebody who does
        // not hold the lock.
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
            let ours =
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
            if ours && path.is_dir() {
                fs::remove_dir_all(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }
}

/// Polling, because flock(2) itself has no timeout.
pub(crate) fn lock(path: &Path, limit: Duration) -> Result<Flock<File>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(lock) = try_lock(path)? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            let what = format!("waiting for another holder of {}", path.display());
            return Err(Error::Timeout { what, after: limit, so_far: String::new() });
        }
        thread::sleep(Duration::from_millis(200));
    }
}

pub(crate) fn try_lock(path: &Path) -> Result<Option<Flock<File>>> {
    let file =
        File::options().create(true).truncate(false).write(true).open(path).map_err(at(path))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(at(path)(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_interrupted_build_is_not_taken_for_a_whole_one() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::at(temp.path().to_owned()).unwrap();
        cache.stage("guest", Inputs::default(), |_| Err(Error::Down)).unwrap_err();
        let fill = |folder: &Path| fs::write(folder.join("x"), "1").map_err(at(folder));
        let built = cache.stage("guest", Inputs::default(), fill).unwrap();
        assert!(built.join("x").exists());
    }

    #[test]
    fn contents_and_the_executable_bit_count() {
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
