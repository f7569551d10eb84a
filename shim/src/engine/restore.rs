//! `restore` by another runtime. It lets the process run at once, so there is no moment to put a VF in, and a checkpoint has
//! none in it.

use std::process::ExitCode;

use super::bundle::Bundle;
use super::command_line;
use super::program::Engine;
use super::record::Record;
use crate::cli::{self, Global};
use crate::config::Config;
use crate::error::Error;
use crate::vf::parse_request;

pub(super) fn restore(
    engine: &Engine,
    global: &Global,
    options: &cli::Restore,
    config: &Config,
) -> Result<ExitCode, Error> {
    let id = &options.id;
    let bundle = Bundle::load(&options.bundle)?;
    if parse_request(bundle.annotations.as_ref())?.is_some() {
        return Err(Error::RestoreWithVf { id: id.clone() });
    }
    if config.require_annotation {
        return Err(Error::NoAnnotation);
    }
    if !options.detach {
        // It waits for the container and deletes it.
        return Err(engine.exec(command_line::typed()));
    }
    Record::new(engine, global, &bundle).save(global, id)?;
    let status = engine.run(command_line::typed());
    if !matches!(&status, Ok(status) if status.success()) {
        Record::remove(global, id)?;
    }
    engine.exit_code(status?, "restore")
}
