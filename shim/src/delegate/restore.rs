//! `restore` by another runtime. It lets the process run at once, so there is no moment to put a VF in, and a checkpoint has
//! none in it.

use std::process::ExitCode;

use super::bundle::Bundle;
use super::engine::Engine;
use super::line;
use super::record::Record;
use crate::cli::{self, Global};
use crate::error::Error;
use crate::network;
use crate::runtime::Runtime;

pub(super) fn restore(
    engine: &Engine,
    global: &Global,
    options: &cli::Restore,
    runtime: &Runtime,
) -> Result<ExitCode, Error> {
    let id = &options.id;
    let bundle = Bundle::load(&options.bundle)?;
    if network::request(bundle.annotations.as_ref())?.is_some() {
        return Err(Error::RestoreWithVf { id: id.clone() });
    }
    if runtime.require_annotation {
        return Err(Error::NoAnnotation);
    }
    if !options.detach {
        // It waits for the container and deletes it.
        return Err(engine.replace_us(line::typed()));
    }
    Record::new(engine, global, &bundle).save(global, id)?;
    let status = engine.run(line::typed());
    if !matches!(&status, Ok(status) if status.success()) {
        Record::remove(global, id)?;
    }
    engine.code(status?, "restore")
}
