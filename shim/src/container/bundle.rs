//! The bundle of a container, the process objects of `exec`, and the limits of `update`.

use std::fs;
use std::path::Path;

use libcontainer::oci_spec::runtime::{LinuxResources, Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::normalize::{normalize_process, normalize_resources, normalize_spec};
use crate::error::Error;

/// A bundle's `config.json`.
pub(crate) struct BundleConfig {
    pub(crate) spec: Spec,
    /// The document before the normalization.
    pub(crate) document: Value,
}

/// Loads a bundle's `config.json`.
pub(crate) fn load_config(bundle: &Path) -> Result<BundleConfig, Error> {
    let path = bundle.join("config.json");
    let text = fs::read(&path).map_err(Error::file("read", &path))?;
    let (spec, document) = parse(&path, &text, normalize_spec)?;
    Ok(BundleConfig { spec, document })
}

/// Loads the spec of a bundle.
pub(crate) fn load_spec(bundle: &Path) -> Result<Spec, Error> {
    load_config(bundle).map(|config| config.spec)
}

/// Loads the file of `exec --process`. Returns the process, and the document before the normalization.
pub(crate) fn load_process(path: &Path) -> Result<(Process, Value), Error> {
    let text = fs::read(path).map_err(Error::file("read", path))?;
    parse(path, &text, normalize_process)
}

/// Parses the limits that `update` reads. Returns them, and the document before the normalization.
pub(crate) fn parse_resources(path: &Path, text: &[u8]) -> Result<(LinuxResources, Value), Error> {
    parse(path, text, normalize_resources)
}

/// Parses a document, and returns its normalized content and the document itself.
fn parse<T: DeserializeOwned>(
    path: &Path,
    text: &[u8],
    normalize: impl FnOnce(&mut Value) -> Result<(), String>,
) -> Result<(T, Value), Error> {
    let bad = |source| Error::Json { path: path.to_owned(), source };
    let document: Value = serde_json::from_slice(text).map_err(bad)?;
    let mut normalized = document.clone();
    normalize(&mut normalized)
        .map_err(|problem| Error::BadSpec { path: path.to_owned(), problem })?;
    Ok((serde_json::from_value(normalized).map_err(bad)?, document))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::line;

    fn config(text: &str) -> Result<BundleConfig, Error> {
        let bundle = tempfile::tempdir().unwrap();
        fs::write(bundle.path().join("config.json"), text).unwrap();
        load_config(bundle.path())
    }

    #[test]
    fn a_config_without_a_user_is_loaded() {
        let loaded = config(r#"{ "ociVersion": "1.0.2", "process": { "cwd": "/" } }"#).unwrap();
        assert_eq!(loaded.spec.process().as_ref().unwrap().user().uid(), 0);
    }

    #[test]
    fn the_last_of_two_equal_members_counts() {
        let twice = config(r#"{ "ociVersion": "1.0.2", "hostname": "a", "hostname": "b" }"#);
        assert_eq!(twice.unwrap().spec.hostname().as_deref(), Some("b"));
    }

    #[test]
    fn an_invalid_config_is_one_line() {
        for text in [
            "{",
            r#"{ "ociVersion": 1 }"#,
            r#"{ "ociVersion": "1.0.2", "process": { "args": ["a\u0000"] } }"#,
        ] {
            let line = line(&config(text).err().unwrap());
            assert!(line.contains("config.json") && !line.contains('\n'), "{line}");
        }
    }
}
