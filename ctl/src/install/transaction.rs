//! Changes several files as one transaction: all changes are kept, or every file is restored.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::change::Change;
use super::root::Root;
use super::trusted_folder;
use crate::error::Error;

/// The changes made so far. Dropping it restores every file; [`Rollback::keep`] keeps the changes.
#[derive(Debug, Default)]
#[must_use = "dropping it restores every file"]
pub(crate) struct Rollback {
    /// In the order of the changes.
    files: Vec<Replaced>,
    created_dirs: Vec<PathBuf>,
}

#[derive(Debug)]
struct Replaced {
    path: PathBuf,
    old: Option<String>,
    new: Option<String>,
    old_owner: Option<Owner>,
}

impl Rollback {
    pub(crate) fn keep(mut self) {
        self.files.clear();
        self.created_dirs.clear();
    }
}

impl Drop for Rollback {
    /// Continues after an error: `drop` cannot report it, and the other files can still be
    /// restored. A file that was edited in the meantime keeps the edit.
    fn drop(&mut self) {
        for file in self.files.iter().rev() {
            if fs::read_to_string(&file.path).ok() == file.new {
                let _ = write_as(&file.path, file.old.as_deref(), file.old_owner);
            }
        }
        for dir in self.created_dirs.iter().rev() {
            let _ = fs::remove_dir(dir);
        }
    }
}

/// # Errors
/// When a file has changed since the plan, when a user other than root could redirect the
/// write, or when a file cannot be written.
pub(crate) fn apply(root: &Root, changes: &[Change]) -> Result<Rollback, Error> {
    let mut rollback = Rollback::default();
    for change in changes {
        if root.read(&change.path)? != change.old {
            return Err(Error::Conflict {
                problem: format!("{} changed in the meantime", change.path.display()),
                hint: "run the command again".to_owned(),
            });
        }
        let path = root.resolve(&change.path)?;
        let dir = path.parent().unwrap_or(Path::new("/"));
        trusted_folder::check(root, dir)?;
        create_dirs(dir, &mut rollback.created_dirs)?;
        let mode_from = match &change.mode_from {
            Some(other) => root.resolve(other)?,
            None => path.clone(),
        };
        let (old, new) = (change.old.clone(), change.new.clone());
        rollback.files.push(Replaced { path: path.clone(), old, new, old_owner: Owner::of(&path) });
        write_as(&path, change.new.as_deref(), Owner::of(&mode_from))?;
    }
    Ok(rollback)
}

fn create_dirs(dir: &Path, created: &mut Vec<PathBuf>) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        create_dirs(parent, created)?;
    }
    fs::DirBuilder::new().mode(0o755).create(dir).map_err(Error::file("create", dir))?;
    created.push(dir.to_owned());
    Ok(())
}

/// Owner and mode of a file.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Owner {
    /// `None` if the file does not exist.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self { uid: metadata.uid(), gid: metadata.gid(), mode: metadata.mode() })
    }
}

/// Replaces a file atomically, with the mode and the owner of `owner`. `None` removes it.
fn write_as(path: &Path, text: Option<&str>, owner: Option<Owner>) -> Result<(), Error> {
    let Some(text) = text else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", path)(error))
            }
            _ => Ok(()),
        };
    };
    temp_file(path, text, owner)?
        .persist(path)
        .map(drop)
        .map_err(|failed| Error::file("replace", path)(failed.error))
}

/// Writes and syncs a file beside `path`, ready to be renamed to it. It is removed when dropped.
/// Owner and mode are set by the descriptor, because a name can be replaced.
fn temp_file(
    path: &Path,
    text: &str,
    owner: Option<Owner>,
) -> Result<tempfile::NamedTempFile, Error> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let make = || {
        let mut file = tempfile::Builder::new().prefix(".runvf-").tempfile_in(dir)?;
        file.write_all(text.as_bytes())?;
        if let Some(Owner { uid, gid, .. }) = owner {
            fchown(file.as_file(), Some(uid), Some(gid))?;
        }
        let mode = owner.map_or(0o644, |owner| owner.mode & 0o7777);
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    make().map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(root: &Root, name: &str, old: Option<&str>, new: Option<&str>) -> Change {
        if let Some(old) = old {
            fs::write(root.resolve(name).unwrap(), old).unwrap();
        }
        let [old, new] = [old, new].map(|text| text.map(str::to_owned));
        Change::between(name, old, new).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn dropped_rollback_restores_every_file() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let changes = [
            changed(&root, "/a", Some("old"), Some("new")),
            changed(&root, "/b", Some("gone"), None),
            changed(&root, "/deep/er/c", None, Some("made")),
        ];
        fs::set_permissions(dir.path().join("b"), fs::Permissions::from_mode(0o600)).unwrap();
        let rollback = apply(&root, &changes).unwrap();
        assert_eq!(names(dir.path()), ["a", "deep"]);
        assert_eq!(root.read("/deep/er/c").unwrap().unwrap(), "made");
        drop(rollback);
        assert_eq!(names(dir.path()), ["a", "b"]);
        assert_eq!(root.read("/a").unwrap().unwrap(), "old");
        assert_eq!(root.read("/b").unwrap().unwrap(), "gone");
        assert_eq!(fs::metadata(dir.path().join("b")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn kept_change_preserves_the_mode_and_the_symlink() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let mut change = changed(&root, "/a", Some("old"), Some("new"));
        fs::set_permissions(dir.path().join("a"), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        change.path = "/link".into();
        apply(&root, &[change]).unwrap().keep();
        assert!(dir.path().join("link").is_symlink());
        assert_eq!(root.read("/a").unwrap().unwrap(), "new");
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn symlinked_directory_stays_below_the_root() {
        let (dir, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = Root::new(dir.path());
        std::os::unix::fs::symlink(host.path(), dir.path().join("etc")).unwrap();
        let change = changed(&root, "/etc/docker/daemon.json", None, Some("new"));
        apply(&root, &[change]).unwrap().keep();
        assert_eq!(names(host.path()), [""; 0]);
        assert_eq!(root.read("/etc/docker/daemon.json").unwrap().unwrap(), "new");
    }
    #[test]
    fn edit_of_another_program_is_neither_overwritten_nor_rolled_back() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let change = [changed(&root, "/a", Some("old"), Some("new"))];
        let rollback = apply(&root, &change).unwrap();
        fs::write(dir.path().join("a"), "edited").unwrap();
        drop(rollback);
        assert_eq!(root.read("/a").unwrap().unwrap(), "edited");
        let line = apply(&root, &change).unwrap_err().line();
        assert_eq!(line, "/a changed in the meantime; run the command again");
        assert_eq!(root.read("/a").unwrap().unwrap(), "edited");
    }

    #[test]
    fn file_in_a_folder_of_another_user_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        let folder = dir.path().join("home");
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::chown(&folder, Some(1000), None).unwrap();
        let change = [changed(&root, "/home/daemon.json", Some("old"), Some("new"))];
        let line = apply(&root, &change).unwrap_err().line();
        assert!(line.contains("users other than root can replace files in "), "{line}");
        assert_eq!(names(&folder), ["daemon.json"]);
        assert_eq!(root.read("/home/daemon.json").unwrap().unwrap(), "old");
    }
}
