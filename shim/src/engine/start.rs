//! The check before another runtime starts a container: its VFs must be attached.

use super::bundle::Bundle;
use super::presence::Presence;
use super::program::Engine;
use super::record::Record;
use crate::cli::Global;
use crate::error::Error;
use crate::vf::{check_vfs, parse_request};

/// Checks the VFs that the container's record requests. Without a record, which is then lost or was
/// never written, the container's bundle says what it requests.
pub(super) fn check(
    engine: &Engine,
    record: Option<&Record>,
    global: &Global,
    id: &str,
) -> Result<(), Error> {
    let recorded = record.map(Record::request).transpose()?;
    if matches!(recorded, Some(None)) {
        return Ok(());
    }
    let state = match engine.presence(global.root.as_deref(), id) {
        Presence::Exists(state) => state,
        Presence::Missing => return Err(Error::NoContainer { id: id.to_owned() }),
        Presence::Unknown(error) => return Err(error),
    };
    let request = match (recorded.flatten(), &state.bundle) {
        (Some(request), _) => Some(request),
        (None, Some(folder)) => parse_request(Bundle::load(folder)?.annotations.as_ref())?,
        (None, None) => None,
    };
    match request {
        Some(request) => check_vfs(&request, id, state.init_pid(id)?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser as _;

    use super::*;
    use crate::error::line;

    #[test]
    fn container_without_a_record_is_checked_by_its_bundle() {
        let folder = tempfile::tempdir().unwrap();
        let (program, bundle) = (folder.path().join("runc"), folder.path().join("config.json"));
        // The pid is that of no container, so that the check itself fails.
        let state = format!("{{\"pid\": 0, \"bundle\": \"{}\"}}", folder.path().display());
        fs::write(&program, format!("#!/bin/sh\necho '{state}'\n")).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let engine = Engine { program };
        let global = crate::cli::Arguments::parse_from(["runvf", "list"]).global;
        let check = |text: &str| {
            fs::write(&bundle, text).unwrap();
            check(&engine, None, &global, "abc")
        };
        check("{}").unwrap();
        check(r#"{"annotations": {"a": "b"}}"#).unwrap();
        let refused = check(r#"{"annotations": {"io.runvf.vlan": "7"}}"#).unwrap_err();
        assert!(line(&refused).contains("has no valid pid"), "{}", line(&refused));
    }
}
