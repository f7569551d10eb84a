//! `spec`: a config.json to begin with.

use libcontainer::oci_spec::runtime::Spec;
use nix::unistd::{getegid, geteuid};

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
    let spec = match options.rootless {
        true => Spec::rootless(geteuid().as_raw(), getegid().as_raw()),
        false => Spec::default(),
    };
    spec.save(&path).map_err(|source| Error::Spec { path, source: Box::new(source) })
}
