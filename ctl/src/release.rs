//! `runvfctl release`: releases the VFs of a container, given its id or a prefix of it, or one VF,
//! given its PCI address.

use std::collections::BTreeSet;

use vf::{Claim, Host, PfStatus, Released};

use crate::error::Error;

pub(crate) fn run(host: &Host, target: &str, force: bool) -> Result<Vec<Released>, Error> {
    if vf::is_pci_address(target) {
        return Ok(vec![vf::release_vf(host, target, force)?]);
    }
    if force {
        return Err(Error::Conflict {
            problem: format!("--force needs the PCI address of a VF, and {target} is not one"),
            hint: "see `runvfctl status`".to_owned(),
        });
    }
    let released = vf::release_by_hand(host, target)?;
    if !released.is_empty() {
        return Ok(released);
    }
    let pfs = vf::status(host)?;
    let container = unique(claims(&pfs).map(|claim| claim.container.as_str()), target)?;
    Ok(vf::release_by_hand(host, container)?)
}

fn claims(pfs: &[PfStatus]) -> impl Iterator<Item = &Claim> {
    pfs.iter().flat_map(|pf| &pf.vfs).filter_map(|vf| vf.claim.as_ref())
}

/// The only id that starts with the prefix. An id may occur several times, because a container may
/// have several VFs.
fn unique<'a>(ids: impl Iterator<Item = &'a str>, prefix: &str) -> Result<&'a str, Error> {
    let found: BTreeSet<&str> =
        ids.filter(|id| !prefix.is_empty() && id.starts_with(prefix)).collect();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(Error::NoClaim { target: prefix.to_owned() }),
        (Some(one), Some(another)) => Err(Error::Conflict {
            problem: format!("the prefix {prefix} is ambiguous: it matches {one} and {another}"),
            hint: "give a longer prefix".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ids: &[&str], prefix: &str) -> String {
        unique(ids.iter().copied(), prefix).unwrap_err().line()
    }

    #[test]
    fn unique_prefix_of_an_id_is_enough() {
        let ids = ["af1c0", "af1c0", "af2d"];
        assert_eq!(unique(ids.into_iter(), "af1").unwrap(), "af1c0");
        assert_eq!(
            line(&ids, "af"),
            "the prefix af is ambiguous: it matches af1c0 and af2d; give a longer prefix"
        );
        for none in ["f1c", "af1c00", "sensor", ""] {
            let expected = format!("no VF is claimed for {none}; see `runvfctl status`");
            assert_eq!(line(&ids, none), expected);
        }
    }

    #[test]
    fn force_requires_a_pci_address() {
        let dir = tempfile::tempdir().unwrap();
        let [sysfs, run, config, audit] = ["a", "b", "c", "d"].map(|name| dir.path().join(name));
        let host = Host { sysfs, run, config, audit };
        let error = super::run(&host, "af1c", true).unwrap_err();
        assert!(
            error.line().starts_with("--force needs the PCI address of a VF, and af1c is not "),
            "{error}"
        );
    }
}
