//! The file system that is changed: `/`, or the directory of an offline system (`--root`), which
//! has no running daemon.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use safe_path::scoped_join;

use crate::error::Error;

#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

impl Root {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Whether this is the running system, so that daemons can be contacted.
    pub(crate) fn is_host(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// The file that `path` names below the root, with all symlinks followed.
    ///
    /// An absolute symlink starts at this root, as it does for the offline system; the kernel would
    /// follow it into the host. The final symlink is followed, too, because a rename onto a symlink
    /// replaces the symlink: a configuration that is kept elsewhere (/etc in git, a management
    /// tool) would no longer be in use.
    pub(crate) fn resolve(&self, path: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let path = path.as_ref();
        let below = || self.0.join(path.strip_prefix("/").unwrap_or(path));
        scoped_join(&self.0, path).map_err(|error| Error::file("resolve", below())(error))
    }

    pub(crate) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.resolve(path).is_ok_and(|path| path.exists())
    }

    /// The entries of a directory; entries that cannot be read are skipped.
    pub(crate) fn entries(&self, dir: &str) -> impl Iterator<Item = fs::DirEntry> {
        let dir = self.resolve(dir).ok();
        dir.and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten()
    }

    /// Reads a file; `None` if it does not exist.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Result<Option<String>, Error> {
        let path = self.resolve(path)?;
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { action: "read", path, source }),
        }
    }

    /// Searches the usual directories for a program. The path is not below the root.
    pub(crate) fn find_program(&self, program: &str) -> Option<PathBuf> {
        ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"]
            .iter()
            .map(|dir| Path::new(dir).join(program))
            .find(|path| self.exists(path))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symlinks_are_followed_and_stay_below_the_root() {
        let (dir, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = Root::new(dir.path());
        let (file, linked) = (host.path().join("daemon.json"), host.path().join("docker"));
        fs::write(&file, "the host's").unwrap();
        fs::create_dir(&linked).unwrap();
        fs::write(linked.join("x"), "the host's").unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir(&etc).unwrap();
        symlink(&file, etc.join("daemon.json")).unwrap();
        symlink(&linked, etc.join("docker")).unwrap();
        let up = format!("../../../../../../../..{}", linked.display());
        symlink(up, etc.join("up")).unwrap();
        for path in ["/etc/daemon.json", "/etc/docker/x", "/etc/up/x"] {
            assert_eq!(root.read(path).unwrap(), None, "{path}");
            assert!(
                !root.exists(path) && root.resolve(path).unwrap().starts_with(dir.path()),
                "{path}"
            );
        }

        let inside = root.resolve("/etc/docker/x").unwrap();
        assert_eq!(inside, dir.path().join(linked.strip_prefix("/").unwrap()).join("x"));
        fs::create_dir_all(inside.parent().unwrap()).unwrap();
        fs::write(&inside, "its own").unwrap();
        assert_eq!(root.read("/etc/docker/x").unwrap().unwrap(), "its own");
        assert!(root.exists("/etc/up/x"));
        assert_eq!(root.resolve("/etc/none").unwrap(), etc.join("none"));
    }

    #[test]
    fn symlink_to_itself_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        symlink("/a", dir.path().join("a")).unwrap();
        assert!(!root.exists("/a"));
        let line = root.read("/a").unwrap_err().line();
        assert!(line.starts_with("cannot resolve ") && line.contains("/a: "), "{line}");
    }
}
