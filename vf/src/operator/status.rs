//! What there is and who has it, for people and machines.

use serde::Serialize;

use crate::error::Error;
use crate::host::Host;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::Sysfs;
use crate::kernel::vf_settings::Settings;
use crate::ledger::claim::{Claim, Claims, State};
use crate::nic::diff::tampered;
use crate::nic::free_vfs::foreign;
use crate::nic::pf::Pf;
use crate::operator::counters::{Counted, Counters};

/// A PF and its VFs.
#[derive(Debug, Serialize)]
pub struct PfStatus {
    pub pf: String,
    pub name: String,
    pub up: bool,
    /// How many VFs it can have.
    pub total: usize,
    pub vfs: Vec<VfStatus>,
}

#[derive(Debug, Serialize)]
pub struct VfStatus {
    pub vf: String,
    pub index: u32,
    /// `free`, `foreign` (somebody else uses it), `unreadable`, or the state of its claim.
    pub state: &'static str,
    /// Why it is neither free nor in a container's use.
    pub reason: Option<String>,
    /// There is a claim, and the VF is gone.
    pub vanished: bool,
    pub driver: Option<String>,
    /// Its name in the host; `None` while it is elsewhere.
    pub netdev: Option<String>,
    pub settings: Settings,
    /// Frames that it has received.
    pub frames: Option<Counted>,
    /// Frames that came for it while it had no room for them.
    pub drops: Option<Counted>,
    pub claim: Option<Claim>,
    /// What stands in the claim's place but is none.
    pub bad_claim: Option<String>,
}

/// Every PF of this machine that has SR-IOV.
///
/// # Errors
/// When the kernel or the claims cannot be asked.
pub fn status(host: &Host) -> Result<Vec<PfStatus>, Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    let netlink = Netlink::open()?;
    let claims = Claims::look(&host.run);
    let mut pfs: Vec<PfStatus> = sysfs
        .sriov_netdevs()
        .iter()
        .filter_map(|(pci, _)| Pf::at(&sysfs, pci))
        .map(|pf| one(&sysfs, &netlink, &claims, pf))
        .collect::<Result<_, _>>()?;
    let shown = |pfs: &[PfStatus], address: &str| {
        pfs.iter().flat_map(|pf| &pf.vfs).any(|vf| vf.vf == address)
    };
    // A claim whose VF is gone, or whose PF has no netdev here.
    for claim in claims.all()?.into_iter().filter_map(Result::ok) {
        if shown(&pfs, &claim.vf) {
            continue;
        }
        let (pci, name) = (claim.pf.clone(), claim.pf_name.clone());
        let gone = vanished(claim, &sysfs);
        match pfs.iter_mut().find(|pf| pf.pf == pci) {
            Some(pf) => pf.vfs.push(gone),
            None => pfs.push(PfStatus { pf: pci, name, up: false, total: 0, vfs: vec![gone] }),
        }
    }
    Ok(pfs)
}

fn one(sysfs: &Sysfs, netlink: &Netlink, claims: &Claims, pf: Pf) -> Result<PfStatus, Error> {
    let settings = netlink.vf_settings(&pf.name, pf.ifindex)?;
    let counters = Counters::of(sysfs, netlink, &pf);
    let mut vfs = Vec::new();
    for (index, vf) in sysfs.virtfns(&pf.pci) {
        let settings = settings.get(&index);
        let (claim, bad_claim) = match claims.get(&vf) {
            Ok(claim) => (claim, None),
            Err(error) => (None, Some(error.line())),
        };
        let (state, reason) = match (&claim, &bad_claim) {
            (Some(claim), _) => {
                let (state, reason) = claim.state.parts();
                (state, reason.or_else(|| trouble(claim, settings)))
            }
            (None, Some(problem)) => ("unreadable", Some(problem.clone())),
            (None, None) => match foreign(sysfs, netlink, &vf, settings)? {
                Some(why) => ("foreign", Some(why)),
                None => ("free", None),
            },
        };
        let (frames, drops) = counters.of_vf(index, &vf, claim.as_ref());
        vfs.push(VfStatus {
            frames,
            drops,
            driver: sysfs.driver(&vf),
            netdev: sysfs.netdevs_or_empty(&vf).into_iter().next().map(|(name, _)| name),
            settings: settings.copied().unwrap_or_default(),
            vanished: false,
            state,
            reason,
            index,
            vf,
            claim,
            bad_claim,
        });
    }
    let up = netlink.link(pf.ifindex)?.is_some_and(|link| link.flags.up);
    Ok(PfStatus { pf: pf.pci, name: pf.name, up, total: pf.total, vfs })
}

/// What `runvfctl gc` would find out about a claim that looks healthy.
fn trouble(claim: &Claim, settings: Option<&Settings>) -> Option<String> {
    if claim.is_abandoned() {
        let ended = "whoever had it has ended; `runvfctl gc` takes it back, or says why not";
        return Some(ended.to_owned());
    }
    let have = settings.filter(|_| claim.state == State::Attached)?;
    let what = tampered(have, &claim.want)?;
    Some(format!("somebody gave it {what}; `runvfctl gc` sets it back"))
}

fn vanished(claim: Claim, sysfs: &Sysfs) -> VfStatus {
    let (state, reason) = claim.state.parts();
    let there = sysfs.exists(&claim.vf);
    let why = if there { "its PF has no interface here" } else { "the VF vanished" };
    VfStatus {
        vf: claim.vf.clone(),
        index: claim.index,
        state,
        reason: reason.or_else(|| Some(why.to_owned())),
        vanished: !there,
        driver: sysfs.driver(&claim.vf),
        netdev: None,
        settings: Settings::default(),
        frames: None,
        drops: None,
        claim: Some(claim),
        bad_claim: None,
    }
}

impl State {
    fn parts(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Claiming => ("claiming", None),
            Self::Configured => ("configured", None),
            Self::Attached => ("attached", None),
            Self::Lost { reason } => ("lost", Some(reason.clone())),
            Self::Releasing => ("releasing", None),
            Self::Quarantined { reason } => ("quarantined", Some(reason.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_at_a_machine_writes_nothing_to_it() {
        let root = tempfile::tempdir().unwrap();
        assert!(status(&Host::below(root.path())).unwrap().is_empty());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
