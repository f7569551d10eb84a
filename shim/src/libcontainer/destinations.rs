//! Where the destination of a mount leads in a container that does not exist yet: through symlinks of
//! the image, and of the bind mounts before it.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The kernel's limit (path_resolution(7)).
const MAX_LINKS: usize = 40;

pub(super) struct Destinations<'a> {
    rootfs: &'a Path,
    /// The resolved destinations in the order of the mounts, and the source of a bind mount.
    mounts: Vec<(PathBuf, Option<PathBuf>)>,
}

impl<'a> Destinations<'a> {
    pub(super) fn new(rootfs: &'a Path) -> Self {
        Self { rootfs, mounts: Vec::new() }
    }

    /// Adds a mount at a resolved path. `source`: of a bind mount. Other file systems are new and
    /// have no symlinks that lead out of them.
    pub(super) fn add(&mut self, resolved: PathBuf, source: Option<PathBuf>) {
        self.mounts.push((resolved, source));
    }

    /// Resolves a path of the container. A missing component counts as a folder.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        let mut resolved = PathBuf::from("/");
        let mut rest = reversed(path);
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                resolved.pop();
                continue;
            }
            let next = resolved.join(name);
            match self.on_host(&next).and_then(|host| fs::read_link(host).ok()) {
                Some(target) if links < MAX_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        resolved = PathBuf::from("/");
                    }
                    rest.extend(reversed(&target));
                }
                _ => resolved = next,
            }
        }
        resolved
    }

    /// The host's path of a path in the container, if its parent is resolved. `None` for a mount
    /// point, and in a file system that does not exist yet.
    pub(super) fn on_host(&self, path: &Path) -> Option<PathBuf> {
        // A later mount covers an earlier one.
        let mount = self.mounts.iter().rev().find(|(point, _)| path.starts_with(point));
        let (root, point) = match mount {
            Some((point, _)) if point == path => return None,
            Some((point, source)) => (source.as_deref()?, point.as_path()),
            None => (self.rootfs, Path::new("/")),
        };
        path.strip_prefix(point).ok().map(|below| root.join(below))
    }
}

/// The names in a path, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_of_the_image_and_of_bind_mounts_are_followed_below_the_root() {
        let (root, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = |folder: &tempfile::TempDir, name: &str, target: &str| {
            symlink(target, folder.path().join(name)).unwrap();
        };
        link(&root, "absolute", "/proc/sys");
        link(&root, "relative", "../../proc");
        link(&root, "chain", "relative/x/..");
        link(&root, "loop", "loop");
        link(&volume, "out", "/proc");
        link(&volume, "up", "../absolute");
        let mut destinations = Destinations::new(root.path());
        let of = |destinations: &Destinations, path: &str| {
            destinations.resolve(Path::new(path)).display().to_string()
        };
        assert_eq!(of(&destinations, "/absolute/x"), "/proc/sys/x");
        assert_eq!(of(&destinations, "chain//./y"), "/proc/y");
        assert_eq!(of(&destinations, "/a/../../b"), "/b");
        assert_eq!(of(&destinations, "/loop"), "/loop");
        assert_eq!(of(&destinations, "/v/out"), "/v/out");
        destinations.add("/v".into(), Some(volume.path().to_owned()));
        assert_eq!(of(&destinations, "/v/out/sys"), "/proc/sys");
        assert_eq!(of(&destinations, "/v/up"), "/proc/sys");
        destinations.add("/v".into(), None);
        assert_eq!(of(&destinations, "/v/out/sys"), "/v/out/sys");
    }
}
