//! `runvfctl release`: the VFs of a container, by its id or how that begins, or one VF by its address.

use std::collections::BTreeSet;

use vf::{Claim, Host, PfStatus, Released};

use crate::error::Error;

pub(crate) fn run(host: &Host, target: &str, force: bool) -> Result<Vec<Released>, Error> {
    if vf::is_pci_address(target) {
        return Ok(vec![vf::release_vf(host, target, force)?]);
    }
    if force {
        return Err(Error::Conflict {
            problem: format!("--force is for one VF, and {target} is not the address of one"),
            hint: "`runvfctl status` shows the addresses".to_owned(),
        });
    }
    let released = vf::release(host, target)?;
    if !released.is_empty() {
        return Ok(released);
    }
    let pfs = vf::status(host)?;
    let container = only(claims(&pfs).map(|claim| claim.container.as_str()), target)?;
    Ok(vf::release(host, container)?)
}

fn claims(pfs: &[PfStatus]) -> impl Iterator<Item = &Claim> {
    pfs.iter().flat_map(|pf| &pf.vfs).filter_map(|vf| vf.claim.as_ref())
}

/// The only one of these ids that begins so. A container may have several VFs.
fn only<'a>(ids: impl Iterator<Item = &'a str>, start: &str) -> Result<&'a str, Error> {
    let found: BTreeSet<&str> =
        ids.filter(|id| !start.is_empty() && id.starts_with(start)).collect();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(Error::NoClaim { target: start.to_owned() }),
        (Some(one), Some(another)) => Err(Error::Conflict {
            problem: format!("{one} and {another} both begin with {start}"),
            hint: "give more of the id".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ids: &[&str], start: &str) -> String {
        only(ids.iter().copied(), start).unwrap_err().line()
    }

    #[test]
    fn the_beginning_of_one_id_is_enough() {
        let ids = ["af1c0", "af1c0", "af2d"];
        assert_eq!(only(ids.into_iter(), "af1").unwrap(), "af1c0");
        assert_eq!(line(&ids, "af"), "af1c0 and af2d both begin with af; give more of the id");
        for none in ["f1c", "af1c00", "sensor", ""] {
            let expected = format!("no VF is claimed for {none}; see `runvfctl status`");
            assert_eq!(line(&ids, none), expected);
        }
    }

    #[test]
    fn a_container_is_not_forced() {
        let folder = tempfile::tempdir().unwrap();
        let [sysfs, run, config, audit] = ["a", "b", "c", "d"].map(|name| folder.path().join(name));
        let host = Host { sysfs, run, config, audit };
        let error = super::run(&host, "af1c", true).unwrap_err();
        assert!(error.line().starts_with("--force is for one VF, and af1c is not "), "{error}");
    }
}
