//! Below which folder everything is: `/`, or the root of a system that does not run, where there is no daemon to ask or to tell.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// As many as the kernel follows.
const LINKS: usize = 40;

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

    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(crate) fn has(&self, path: impl AsRef<Path>) -> bool {
        self.at(path).exists()
    }

    /// The file that `path` names in the end. A rename over a symlink would replace the link, and whoever keeps his configuration
    /// elsewhere (/etc in git, a management tool) would be left with a file that is not used any more.
    pub(crate) fn target(&self, path: impl AsRef<Path>) -> PathBuf {
        let mut path = path.as_ref().to_owned();
        for _ in 0..LINKS {
            let Ok(link) = fs::read_link(self.at(&path)) else { break };
            path = path.parent().unwrap_or(Path::new("/")).join(link);
        }
        self.at(path)
    }

    /// `None` is a file that is not there.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Result<Option<String>, Error> {
        let path = self.at(path);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { action: "read", path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_and_stay_below_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        fs::create_dir_all(root.at("/etc/docker")).unwrap();
        std::os::unix::fs::symlink("/srv/daemon.json", root.at("/etc/docker/daemon.json")).unwrap();
        assert_eq!(root.target("/etc/docker/daemon.json"), root.at("/srv/daemon.json"));
        assert_eq!(root.target("/etc/none"), root.at("/etc/none"));
    }
}
