//! `restore` by another runtime, for containers without VFs only. A restored process runs at once,
//! so runvf could not attach a VF before it runs, and a checkpoint contains no VF.

use std::process::ExitCode;

use super::bundle::Bundle;
use super::command_line;
use super::program::Engine;
use super::record::Record;
use crate::cli::{self, Global};
use crate::config::Config;
use crate::error::Error;
use crate::log::Log;
use crate::vf::{parse_request, refuse_managed_netdevs};

pub(super) fn restore(
    engine: &Engine,
    global: &Global,
    options: &cli::Restore,
    config: &Config,
    log: &Log,
) -> Result<ExitCode, Error> {
    let id = &options.id;
    let bundle = Bundle::load(&options.bundle)?;
    if parse_request(bundle.annotations.as_ref())?.is_some() {
        return Err(Error::RestoreWithVf { id: id.clone() });
    }
    refuse_managed_netdevs(id, &bundle.net_devices())?;
    if config.require_annotation {
        return Err(Error::NoAnnotation);
    }
    if !options.detach {
        // The engine waits for the container and deletes it, so no record is needed.
        return Err(engine.exec(command_line::current()));
    }
    Record::new(engine, global, &bundle, None).save(global, id)?;
    let status = match engine.run(command_line::current()) {
        Ok(status) => status,
        Err(error) => return Record::remove(global, id).and(Err(error)),
    };
    if !status.success() {
        Record::remove_if_missing(engine, global, id, log)?;
    }
    engine.exit_code(status, "restore")
}
