//! Files, replaced whole and all together: either every change is made and kept, or every file is as it was.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::change::Change;
use super::root::Root;
use crate::error::Error;

/// What was done, and how to undo it. Dropping it undoes.
#[derive(Debug, Default)]
#[must_use = "dropped, it puts every file back"]
pub(crate) struct Undo {
    /// Files as they were, first changed first.
    files: Vec<(PathBuf, Option<String>, Option<Owner>)>,
    /// Folders that were made.
    made: Vec<PathBuf>,
}

impl Undo {
    pub(crate) fn keep(mut self) {
        self.files.clear();
        self.made.clear();
    }
}

impl Drop for Undo {
    /// Goes on whatever fails: nobody is left to be told, and half is better than nothing.
    fn drop(&mut self) {
        for (path, text, owner) in self.files.iter().rev() {
            let _ = write_as(path, text.as_deref(), *owner);
        }
        for folder in self.made.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

pub(crate) fn apply(root: &Root, changes: &[Change]) -> Result<Undo, Error> {
    let mut undo = Undo::default();
    for change in changes {
        let path = root.at(&change.path)?;
        make_folders(path.parent().unwrap_or(Path::new("/")), &mut undo.made)?;
        let like = change.like.as_ref().map_or_else(|| Ok(path.clone()), |like| root.at(like))?;
        undo.files.push((path.clone(), change.old.clone(), Owner::of(&path)));
        write(&path, change.new.as_deref(), &like)?;
    }
    Ok(undo)
}

fn make_folders(folder: &Path, made: &mut Vec<PathBuf>) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent, made)?;
    }
    fs::create_dir(folder).map_err(Error::file("make", folder))?;
    made.push(folder.to_owned());
    Ok(())
}

/// Whose a file is, and who else may have it.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Owner {
    /// `None` if it is not there.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { uid: found.uid(), gid: found.gid(), mode: found.mode() })
    }
}

/// Whole or not at all, with the mode and the owner of the file `like`. `None` removes it.
pub(crate) fn write(path: &Path, text: Option<&str>, like: &Path) -> Result<(), Error> {
    write_as(path, text, Owner::of(like))
}

fn write_as(path: &Path, text: Option<&str>, owner: Option<Owner>) -> Result<(), Error> {
    let Some(text) = text else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", path)(error))
            }
            _ => Ok(()),
        };
    };
    candidate(path, text, owner)?
        .persist(path)
        .map(drop)
        .map_err(|failed| Error::file("replace", path)(failed.error))
}

/// A file beside `path` that only has to be renamed. It is gone when dropped.
fn candidate(
    path: &Path,
    text: &str,
    owner: Option<Owner>,
) -> Result<tempfile::NamedTempFile, Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let make = || {
        let mut file = tempfile::Builder::new().prefix(".runvf-").tempfile_in(folder)?;
        file.write_all(text.as_bytes())?;
        if let Some(Owner { uid, gid, .. }) = owner {
            chown(file.path(), Some(uid), Some(gid))?;
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
        let path = root.at(name).unwrap();
        if let Some(old) = old {
            write(&path, Some(old), &path).unwrap();
        }
        let [old, new] = [old, new].map(|text| text.map(str::to_owned));
        Change::between(name, old, new).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_not_kept_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let changes = [
            changed(&root, "/a", Some("old"), Some("new")),
            changed(&root, "/b", Some("gone"), None),
            changed(&root, "/deep/er/c", None, Some("made")),
        ];
        fs::set_permissions(folder.path().join("b"), fs::Permissions::from_mode(0o600)).unwrap();
        let undo = apply(&root, &changes).unwrap();
        assert_eq!(names(folder.path()), ["a", "deep"]);
        assert_eq!(root.read("/deep/er/c").unwrap().unwrap(), "made");
        drop(undo);
        assert_eq!(names(folder.path()), ["a", "b"]);
        assert_eq!(root.read("/a").unwrap().unwrap(), "old");
        assert_eq!(root.read("/b").unwrap().unwrap(), "gone");
        assert_eq!(fs::metadata(folder.path().join("b")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_kept_has_the_mode_of_before_and_a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let mut change = changed(&root, "/a", Some("old"), Some("new"));
        fs::set_permissions(folder.path().join("a"), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("link")).unwrap();
        change.path = "/link".into();
        apply(&root, &[change]).unwrap().keep();
        assert!(folder.path().join("link").is_symlink());
        assert_eq!(root.read("/a").unwrap().unwrap(), "new");
        assert_eq!(fs::metadata(folder.path().join("a")).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_linked_folder_leads_nowhere_outside_the_root() {
        let (folder, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = Root::new(folder.path());
        std::os::unix::fs::symlink(host.path(), folder.path().join("etc")).unwrap();
        let change = changed(&root, "/etc/docker/daemon.json", None, Some("new"));
        apply(&root, &[change]).unwrap().keep();
        assert_eq!(names(host.path()), [""; 0]);
        assert_eq!(root.read("/etc/docker/daemon.json").unwrap().unwrap(), "new");
    }
}
