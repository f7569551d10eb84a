//! `spec`: a config.json to begin with.

use libcontainer::oci_spec::runtime::Spec;

use crate::cli;
use crate::error::Error;

pub(crate) fn write(options: &cli::Spec) -> Result<(), Error> {
    let path = options.bundle.join("config.json");
    if path.exists() {
        return Err(Error::BadSpec {
            path,
            problem: "is there already; remove it first".to_owned(),
        });
    }
    Spec::default().save(&path).map_err(|source| Error::Spec { path, source: Box::new(source) })
}
