//! The record of a container that another runtime creates: its engine and its VF request. runvf
//! writes it before the engine creates the container, so that later commands use the same engine
//! and find the VFs even if `runtime.toml` has changed.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bundle::Bundle;
use super::presence::Presence;
use super::program::Engine;
use crate::cli::Global;
use crate::container;
use crate::error::{self, Error};
use crate::log::Log;
use crate::vf::parse_request;

/// On a tmpfs, because a reboot ends the containers and must remove their records too.
const RECORDS_DIR: &str = "/run/runvf/delegated";

/// The version of the records that this runvf writes.
///
/// A new field needs `#[serde(default)]`, and an older runvf ignores it. A change that an older
/// runvf must not ignore raises this number: an older runvf then does not start the container.
const RECORD_VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// See [`RECORD_VERSION`]. The first records have no version.
    #[serde(default)]
    version: u32,
    pub(super) engine: PathBuf,
    /// The `--root` of the engine. `None` means the engine's default.
    pub(super) root: Option<PathBuf>,
    pub(super) bundle: PathBuf,
    /// Only the annotations with runvf's prefix.
    pub(super) annotations: HashMap<String, String>,
    /// What the container is to its Kubernetes pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<vf::PodRole>,
}

impl Record {
    pub(super) fn new(
        engine: &Engine,
        global: &Global,
        bundle: &Bundle,
        grant: Option<&vf::Grant>,
    ) -> Self {
        Self {
            version: RECORD_VERSION,
            engine: engine.program.clone(),
            root: global.root.clone(),
            bundle: bundle.folder.clone(),
            annotations: bundle.annotations_of_runvf(),
            pod: grant.and_then(vf::Grant::pod).cloned(),
        }
    }

    pub(super) fn find(global: &Global, id: &str) -> Result<Option<Self>, Error> {
        Self::read(&path(Path::new(RECORDS_DIR), global, id)?)
    }

    /// Checks that this runvf understands the whole record.
    ///
    /// # Errors
    /// [`Error::NewerRecord`].
    pub(super) fn check_version(&self, global: &Global, id: &str) -> Result<(), Error> {
        match self.version {
            0..=RECORD_VERSION => Ok(()),
            version => {
                let path = path(Path::new(RECORDS_DIR), global, id)?;
                Err(Error::NewerRecord { path, version })
            }
        }
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
            let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            created.map_err(Error::file("create", folder))?;
        }
        let text = serde_json::to_vec(self);
        let text = text.map_err(|source| Error::Json { path: path.to_owned(), source })?;
        container::write_atomically(path, &text)
    }

    pub(super) fn engine(&self) -> Engine {
        Engine { program: self.engine.clone() }
    }

    pub(super) fn request(&self) -> Result<Option<vf::Request>, Error> {
        let request = parse_request(Some(&self.annotations))?;
        Ok(request.map(|request| vf::Request { pod: self.pod.clone(), ..request }))
    }

    /// After a failed `create`: removes the record, unless the engine may have the container. `start`
    /// then still checks its VFs, and `delete` still releases them.
    pub(super) fn remove_if_missing(
        engine: &Engine,
        global: &Global,
        id: &str,
        log: &Log,
    ) -> Result<(), Error> {
        match engine.presence(global.root.as_deref(), id) {
            Presence::Missing => Self::remove(global, id),
            Presence::Exists(_) => Ok(()),
            Presence::Unknown(error) => {
                log.warn(&format!(
                    "cannot find out whether container {id} exists: {}; \
                     remove it with `runvf delete --force {id}`",
                    error::line(&error)
                ));
                Ok(())
            }
        }
    }
}

/// The path of a record. It contains the path of the root, because ids are unique only within a
/// root.
fn path(folder: &Path, global: &Global, id: &str) -> Result<PathBuf, Error> {
    let container = container::folder(global, id)?;
    let root = container.parent().unwrap_or(&container).components();
    let relative = root.filter(|part| matches!(part, Component::Normal(_)));
    Ok(folder.join(relative.collect::<PathBuf>()).join(format!("{id}.json")))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn global(line: &[&str]) -> Global {
        crate::cli::Arguments::parse_from([&["runvf"], line, &["list"]].concat()).global
    }

    #[test]
    fn the_path_of_a_record_contains_root_and_id() {
        let folder = Path::new("/f");
        let path = |line: &[&str], id: &str| path(folder, &global(line), id);
        assert_eq!(path(&[], "a").unwrap(), Path::new("/f/run/runvf/containers/a.json"));
        assert_eq!(path(&["--root", "/r/../moby"], "a").unwrap(), Path::new("/f/r/moby/a.json"));
        assert!(path(&[], "../a").is_err());
    }

    #[test]
    fn a_written_record_is_read_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), &global(&["--root", "/r"]), "a").unwrap();
        assert_eq!(Record::read(&path).unwrap(), None);
        let record = Record {
            version: RECORD_VERSION,
            engine: "/usr/bin/runc".into(),
            root: Some("/r".into()),
            bundle: "/b".into(),
            annotations: HashMap::from([("io.runvf.vlan".to_owned(), "7".to_owned())]),
            pod: Some(vf::PodRole::Member(vf::Pod {
                namespace: "acme".to_owned(),
                name: "sensor".to_owned(),
                sandbox: "5a".to_owned(),
            })),
        };
        assert_eq!(record.request().unwrap().unwrap().pod, record.pod);
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap(), Some(record.clone()));
        fs::write(&path, "{").unwrap();
        assert!(Record::read(&path).is_err());
        let text =
            r#"{"version":2,"engine":"/e","root":null,"bundle":"/b","annotations":{},"x":1}"#;
        fs::write(&path, text).unwrap();
        let newer = Record::read(&path).unwrap().unwrap();
        assert_eq!(
            crate::error::line(&newer.check_version(&global(&[]), "a").unwrap_err()),
            "/run/runvf/delegated/run/runvf/containers/a.json was written by a newer runvf: it has \
             version 2; use that version of runvf, or `delete` the container"
        );
        record.check_version(&global(&[]), "a").unwrap();
    }
}
