//! The bundle of a container.

use std::path::Path;

use libcontainer::oci_spec::runtime::Spec;

use crate::error::Error;

/// Loads a bundle's `config.json`.
pub(crate) fn load_spec(bundle: &Path) -> Result<Spec, Error> {
    let path = bundle.join("config.json");
    Spec::load(&path).map_err(|source| Error::Spec { path, source: Box::new(source) })
}
