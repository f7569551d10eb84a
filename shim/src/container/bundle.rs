//! The bundle of a container, and the process objects of `exec`.

use std::fs;
use std::path::Path;

use libcontainer::oci_spec::runtime::{Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::normalize::{normalize_process, normalize_spec};
use crate::error::Error;

/// A bundle's `config.json`.
pub(crate) struct BundleConfig {
    pub(crate) spec: Spec,
    /// Whether a program that does not normalize the file reads the same.
    pub(crate) is_normal: bool,
}

/// Loads a bundle's `config.json`.
pub(crate) fn load_config(bundle: &Path) -> Result<BundleConfig, Error> {
    let (spec, is_normal) = load(&bundle.join("config.json"), normalize_spec)?;
    Ok(BundleConfig { spec, is_normal })
}

/// Loads the spec of a bundle.
pub(crate) fn load_spec(bundle: &Path) -> Result<Spec, Error> {
    load_config(bundle).map(|config| config.spec)
}

/// Loads the file of `exec --process`.
pub(crate) fn load_process(path: &Path) -> Result<Process, Error> {
    load(path, normalize_process).map(|(process, _)| process)
}

/// Returns the content of a file, and whether the normalization changed nothing.
fn load<T: DeserializeOwned>(
    path: &Path,
    normalize: impl FnOnce(&mut Value) -> Result<(), String>,
) -> Result<(T, bool), Error> {
    let bad = |source| Error::Json { path: path.to_owned(), source };
    let text = fs::read(path).map_err(Error::file("read", path))?;
    let original: Value = serde_json::from_slice(&text).map_err(bad)?;
    let mut document = original.clone();
    normalize(&mut document)
        .map_err(|problem| Error::BadSpec { path: path.to_owned(), problem })?;
    let is_normal = document == original;
    Ok((serde_json::from_value(document).map_err(bad)?, is_normal))
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
    fn a_config_without_a_user_is_loaded_and_not_normal() {
        let loaded = config(r#"{ "ociVersion": "1.0.2", "process": { "cwd": "/" } }"#).unwrap();
        assert_eq!(loaded.spec.process().as_ref().unwrap().user().uid(), 0);
        assert!(!loaded.is_normal);
        assert!(config(r#"{ "ociVersion": "1.0.2" }"#).unwrap().is_normal);
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
