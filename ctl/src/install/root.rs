//! Below which folder everything is: `/`, or the root of a system that does not run, where there is no daemon to ask or to tell.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use safe_path::scoped_join;

use crate::error::Error;

#[derive(Debug, Clone)]
pub(crate) struct Root(PathBuf);

impl Root {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Whether daemons can be asked and told.
    pub(crate) fn is_host(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// What `path` names in the end, whatever links are on the way. One that is absolute starts at this root, as it does for the system
    /// that the root is of; the kernel would follow it to the host. A rename over a symlink would replace the link, and whoever keeps
    /// his configuration elsewhere (/etc in git, a management tool) would be left with a file that is not used any more.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> Result<PathBuf, Error> {
        let path = path.as_ref();
        let below = || self.0.join(path.strip_prefix("/").unwrap_or(path));
        scoped_join(&self.0, path).map_err(|error| Error::file("resolve", below())(error))
    }

    pub(crate) fn has(&self, path: impl AsRef<Path>) -> bool {
        self.at(path).is_ok_and(|path| path.exists())
    }

    /// What is in a folder, as far as it can be read.
    pub(crate) fn entries(&self, folder: &str) -> impl Iterator<Item = fs::DirEntry> {
        let folder = self.at(folder).ok();
        folder.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten()
    }

    /// `None` is a file that is not there.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Result<Option<String>, Error> {
        let path = self.at(path)?;
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { action: "read", path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_and_stay_below_the_root() {
        let (folder, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = Root::new(folder.path());
        let (file, linked) = (host.path().join("daemon.json"), host.path().join("docker"));
        fs::write(&file, "the host's").unwrap();
        fs::create_dir(&linked).unwrap();
        fs::write(linked.join("x"), "the host's").unwrap();
        let etc = folder.path().join("etc");
        fs::create_dir(&etc).unwrap();
        symlink(&file, etc.join("daemon.json")).unwrap();
        symlink(&linked, etc.join("docker")).unwrap();
        let up = format!("../../../../../../../..{}", linked.display());
        symlink(up, etc.join("up")).unwrap();
        for path in ["/etc/daemon.json", "/etc/docker/x", "/etc/up/x"] {
            assert_eq!(root.read(path).unwrap(), None, "{path}");
            assert!(!root.has(path) && root.at(path).unwrap().starts_with(folder.path()), "{path}");
        }

        let inside = root.at("/etc/docker/x").unwrap();
        assert_eq!(inside, folder.path().join(linked.strip_prefix("/").unwrap()).join("x"));
        fs::create_dir_all(inside.parent().unwrap()).unwrap();
        fs::write(&inside, "its own").unwrap();
        assert_eq!(root.read("/etc/docker/x").unwrap().unwrap(), "its own");
        assert!(root.has("/etc/up/x"));
        assert_eq!(root.at("/etc/none").unwrap(), etc.join("none"));
    }

    #[test]
    fn a_link_that_leads_to_itself_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        symlink("/a", folder.path().join("a")).unwrap();
        assert!(!root.has("/a"));
        let line = root.read("/a").unwrap_err().line();
        assert!(line.starts_with("cannot resolve ") && line.contains("/a: "), "{line}");
    }
}
