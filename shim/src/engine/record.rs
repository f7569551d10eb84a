//! Which engine made a container, and what VFs the container asks for: written before the engine is asked to make it, so
//! that what follows goes to that engine, and finds the VFs, whatever `runtime.toml` says by then.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bundle::Bundle;
use super::program::Engine;
use crate::cli::Global;
use crate::container;
use crate::error::Error;
use crate::vf::parse_request;

/// On a tmpfs, as all that describes containers: a reboot voids them together.
const RECORDS_DIR: &str = "/run/runvf/delegated";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(super) engine: PathBuf,
    /// As it was given to the engine. `None`: the engine has one of its own.
    pub(super) root: Option<PathBuf>,
    pub(super) bundle: PathBuf,
    /// runvf's alone.
    pub(super) annotations: HashMap<String, String>,
}

impl Record {
    pub(super) fn new(engine: &Engine, global: &Global, bundle: &Bundle) -> Self {
        Self {
            engine: engine.program.clone(),
            root: global.root.clone(),
            bundle: bundle.folder.clone(),
            annotations: bundle.annotations_of_runvf(),
        }
    }

    pub(super) fn find(global: &Global, id: &str) -> Result<Option<Self>, Error> {
        Self::read(&path(Path::new(RECORDS_DIR), global, id)?)
    }

    pub(super) fn save(&self, global: &Global, id: &str) -> Result<(), Error> {
        self.write(&path(Path::new(RECORDS_DIR), global, id)?)
    }

    pub(super) fn remove(global: &Global, id: &str) -> Result<(), Error> {
        let path = path(Path::new(RECORDS_DIR), global, id)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::file("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Error::file("read", path))?,
        };
        let record = serde_json::from_slice(&text);
        record.map(Some).map_err(|source| Error::Json { path: path.to_owned(), source })
    }

    fn write(&self, path: &Path) -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(Error::file("make", folder))?;
        }
        let text = serde_json::to_vec(self);
        let text = text.map_err(|source| Error::Json { path: path.to_owned(), source })?;
        container::write_atomically(path, &text)
    }

    pub(super) fn engine(&self) -> Engine {
        Engine { program: self.engine.clone() }
    }

    pub(super) fn request(&self) -> Result<Option<vf::Request>, Error> {
        parse_request(Some(&self.annotations))
    }

    /// Whether its engine knows a container of that id.
    pub(super) fn is_alive(&self, id: &str) -> bool {
        self.engine().query(self.root.as_deref(), &["state"], id).is_ok()
    }
}

/// Ids are unique within a root only, so the path of the root is a part of it.
fn path(folder: &Path, global: &Global, id: &str) -> Result<PathBuf, Error> {
    let container = container::folder(global, id)?;
    let root = container.parent().unwrap_or(&container).components();
    let plain = root.filter(|part| matches!(part, Component::Normal(_)));
    Ok(folder.join(plain.collect::<PathBuf>()).join(format!("{id}.json")))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn global(line: &[&str]) -> Global {
        crate::cli::Arguments::parse_from([&["runvf"], line, &["list"]].concat()).global
    }

    #[test]
    fn a_record_is_one_of_a_root_and_an_id() {
        let folder = Path::new("/f");
        let path = |line: &[&str], id: &str| path(folder, &global(line), id);
        assert_eq!(path(&[], "a").unwrap(), Path::new("/f/run/runvf/containers/a.json"));
        assert_eq!(path(&["--root", "/r/../moby"], "a").unwrap(), Path::new("/f/r/moby/a.json"));
        assert!(path(&[], "../a").is_err());
    }

    #[test]
    fn a_record_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), &global(&["--root", "/r"]), "a").unwrap();
        assert_eq!(Record::read(&path).unwrap(), None);
        let record = Record {
            engine: "/usr/bin/runc".into(),
            root: Some("/r".into()),
            bundle: "/b".into(),
            annotations: HashMap::from([("io.runvf.vlan".to_owned(), "7".to_owned())]),
        };
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap(), Some(record));
        fs::write(&path, "{").unwrap();
        assert!(Record::read(&path).is_err());
    }
}
