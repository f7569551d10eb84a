//! `runvfctl status`: the PFs, their VFs and the claims.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Error;
use crate::host::Host;
use crate::kernel::netlink::{Link, Netlink};
use crate::kernel::netns_life::{Effort, processes_in};
use crate::kernel::sysfs::Sysfs;
use crate::kernel::sysfs::pf_netdev::NoPfNetdev;
use crate::kernel::vf_settings::Settings;
use crate::ledger::claim::{Claim, State};
use crate::ledger::claims::Claims;
use crate::lifecycle::blindness::cause;
use crate::nic::diff::to_set_back;
use crate::nic::driver::driver;
use crate::nic::find_link::find_link;
use crate::nic::free_vfs::foreign_use;
use crate::nic::pf::Pf;
use crate::nic::pf_promisc::TurnedOff;
use crate::nic::vfio;
use crate::operator::capture::CaptureSockets;
use crate::operator::counters::{Counted, Counters, Discards};
use crate::operator::inside::{Inside, look_inside};

/// A PF and its VFs.
#[derive(Debug, Serialize)]
pub struct PfStatus {
    pub pf: String,
    pub name: String,
    pub driver: Option<String>,
    pub up: bool,
    pub carrier: bool,
    /// The frames that the PF's own interface has received.
    pub frames: Option<u64>,
    /// The frames that its port has discarded.
    pub discards: Option<Discards>,
    /// The bridge, bond or other netdev that the PF is a port of.
    pub master: Option<String>,
    /// The number of VFs that the PF supports.
    pub total: usize,
    pub vfs: Vec<VfStatus>,
}

/// A VF, or a claim without a VF.
#[derive(Debug, Serialize)]
pub struct VfStatus {
    pub vf: String,
    pub index: u32,
    /// `free`, `foreign` (used by something that is not runvf), `unreadable` (its claim), or the
    /// state of its claim.
    pub state: &'static str,
    /// Why the VF is neither free nor usable by its container.
    pub reason: Option<String>,
    /// There is a claim, but the VF does not exist.
    pub vanished: bool,
    pub driver: Option<String>,
    /// The name of its netdev in the host netns. `None`: the netdev is in another namespace or does
    /// not exist.
    pub netdev: Option<String>,
    pub settings: Settings,
    /// Frames received.
    pub frames: Option<Counted>,
    /// Frames lost because the VF had no free buffer.
    pub drops: Option<Counted>,
    /// Whether the VF's netdev has a carrier. `None`: the netdev was not found.
    pub carrier: Option<bool>,
    /// The sockets that capture its frames in its container. `None`: unknown, or not in a container.
    pub sockets: Option<CaptureSockets>,
    /// Why the VF may not be promiscuous, so that its sensor may be blind now.
    pub blind: Option<String>,
    /// Nothing is wrong with the VF, but no process runs in the network namespace that has it.
    /// `reason` says since when.
    pub idle: bool,
    pub claim: Option<Claim>,
    /// Why the claim file cannot be read.
    pub bad_claim: Option<String>,
}

/// Lists every PF of this host, its VFs, and claims that belong to no listed VF. Changes nothing.
///
/// # Errors
/// When a netlink request fails or the claims cannot be read.
pub fn status(host: &Host) -> Result<Vec<PfStatus>, Error> {
    let sysfs = Sysfs(host.sysfs.clone());
    let netlink = Netlink::open()?;
    let claims = Claims::read_only(&host.run);
    let inside = look_inside(claims.readable()?.iter());
    let reader = Reader { sysfs: &sysfs, netlink: &netlink, claims: &claims, inside };
    let mut pfs: Vec<PfStatus> = sysfs
        .sriov_netdevs()
        .iter()
        .filter_map(|(pci, _)| Pf::at(&sysfs, pci).ok())
        .map(|pf| reader.pf(pf))
        .collect::<Result<_, _>>()?;
    let listed = |pfs: &[PfStatus], address: &str| {
        pfs.iter().flat_map(|pf| &pf.vfs).any(|vf| vf.vf == address)
    };
    // Claims of VFs that do not exist, or that belong to a PF that is not listed.
    for claim in claims.all()?.into_iter().filter_map(Result::ok) {
        if listed(&pfs, &claim.vf) {
            continue;
        }
        let (pf, name) = (claim.pf.clone(), claim.pf_name.clone());
        let unlisted = unlisted_claim(claim, &sysfs);
        match pfs.iter_mut().find(|listed| listed.pf == pf) {
            Some(listed) => listed.vfs.push(unlisted),
            None => pfs.push(unlisted_pf(pf, name, unlisted)),
        }
    }
    Ok(pfs)
}

/// What the status of each PF is read from.
struct Reader<'a> {
    sysfs: &'a Sysfs,
    netlink: &'a Netlink,
    claims: &'a Claims,
    /// The claimed VFs in their containers, by PCI address. `None`: the VF was not found there.
    inside: BTreeMap<String, Option<Inside>>,
}

impl Reader<'_> {
    fn pf(&self, pf: Pf) -> Result<PfStatus, Error> {
        let (sysfs, netlink) = (self.sysfs, self.netlink);
        let settings = netlink.vf_settings(&pf.name, pf.ifindex)?;
        let counters = Counters::of(sysfs, netlink, &pf);
        let pf_driver = sysfs.driver(&pf.pci);
        let sight = SightOfPf {
            forgets: driver(pf_driver.as_deref()).forgets_promisc,
            off: TurnedOff::find(sysfs, &pf.pci).ok().flatten(),
        };
        let virtfns = sysfs.virtfns(&pf.pci);
        let vfs = virtfns.into_iter().map(|(index, vf)| {
            let settings = settings.get(&index);
            self.vf(index, vf, settings, &counters, &sight)
        });
        let vfs = vfs.collect::<Result<_, _>>()?;
        let link = netlink.link(pf.ifindex)?;
        Ok(PfStatus {
            driver: pf_driver,
            up: link.as_ref().is_some_and(|link| link.flags.up),
            carrier: link.as_ref().is_some_and(|link| link.carrier),
            frames: link.as_ref().map(|link| link.received),
            discards: link.as_ref().map(Discards::of_port),
            master: sysfs.master(&pf.pci, &pf.name),
            pf: pf.pci,
            name: pf.name,
            total: pf.total,
            vfs,
        })
    }

    fn vf(
        &self,
        index: u32,
        vf: String,
        settings: Option<&Settings>,
        counters: &Counters,
        sight: &SightOfPf,
    ) -> Result<VfStatus, Error> {
        let (claim, bad_claim) = match self.claims.get(&vf) {
            Ok(claim) => (claim, None),
            Err(error) => (None, Some(error.line())),
        };
        let in_host = find_link(self.sysfs, self.netlink, &vf).ok().flatten();
        let looked = self.inside.get(&vf).filter(|_| in_host.is_none());
        let inside = looked.and_then(Option::as_ref);
        let link = in_host.as_ref().or(inside.map(|inside| &inside.link));
        let blind = claim.as_ref().and_then(|claim| sight.blindness(claim, link));
        let is_missing = looked.is_some() && link.is_none();
        let (state, problem) = match (&claim, &bad_claim) {
            (Some(claim), _) => {
                let (state, reason) = claim.state.parts();
                let pending = || pending_gc(claim, settings, blind.as_deref(), is_missing);
                let by_vfio = || vfio_problem(self.sysfs, claim);
                (state, reason.or_else(pending).or_else(by_vfio))
            }
            (None, Some(problem)) => ("unreadable", Some(problem.clone())),
            (None, None) => match foreign_use(self.sysfs, self.netlink, &vf, settings)? {
                Some(why) => ("foreign", Some(why)),
                None => ("free", None),
            },
        };
        let idle_since = claim.as_ref().filter(|_| problem.is_none()).and_then(idle_netns);
        let (frames, drops) = counters.of_vf(index, link);
        Ok(VfStatus {
            idle: idle_since.is_some(),
            reason: problem.or(idle_since),
            frames,
            drops,
            carrier: link.map(|link| link.carrier),
            sockets: inside.and_then(|inside| inside.sockets.clone()),
            driver: self.sysfs.driver(&vf),
            netdev: self.sysfs.netdevs_or_empty(&vf).into_iter().next().map(|(name, _)| name),
            settings: settings.copied().unwrap_or_default(),
            vanished: false,
            state,
            blind,
            index,
            vf,
            claim,
            bad_claim,
        })
    }
}

/// What decides on the promiscuity of a PF's VFs.
struct SightOfPf {
    /// See `Driver::forgets_promisc`.
    forgets: bool,
    off: Option<TurnedOff>,
}

impl SightOfPf {
    /// Why an attached VF may not be promiscuous. `link`: the VF's netdev, if it was found.
    fn blindness(&self, claim: &Claim, link: Option<&Link>) -> Option<String> {
        if claim.state != State::Attached || claim.is_abandoned(Effort::Quick) {
            return None;
        }
        let known = claim.open_gap().map(|gap| gap.reason.clone());
        let off = self.off.as_ref().filter(|_| claim.promisc_required);
        known
            .or_else(|| off.map(|off| off.why().to_owned()))
            .or_else(|| cause(self.forgets, claim.carrier, link?))
    }
}

/// The problem of a claim with a healthy state. The next `runvfctl gc` would find it, except that
/// `is_missing` only hides what the sensor receives. `blind`: see [`SightOfPf::blindness`].
/// `is_missing`: the network namespace of the container was read and has no such netdev.
fn pending_gc(
    claim: &Claim,
    settings: Option<&Settings>,
    blind: Option<&str>,
    is_missing: bool,
) -> Option<String> {
    if claim.is_abandoned(Effort::Quick) {
        let cause = match claim.state {
            State::Claiming | State::Configured => "the attach was interrupted",
            State::Releasing => "the release was interrupted",
            _ if claim.init.is_none() => "its network namespace is gone",
            _ => "its container has exited",
        };
        return Some(format!("{cause}; run `runvfctl gc`"));
    }
    if claim.state != State::Attached {
        return None;
    }
    if let Some(change) = settings.and_then(|have| to_set_back(have, &claim.want)) {
        return Some(format!("changed outside runvf: {change}; run `runvfctl gc` to restore it"));
    }
    if let Some(blind) = blind {
        return Some(format!("it may not be promiscuous: {blind}; run `runvfctl gc` to re-arm it"));
    }
    let missing = "its interface is not in the network namespace of its container";
    is_missing.then(|| missing.to_owned())
}

/// Why an attached VF is not as its container drives it by vfio-pci.
fn vfio_problem(sysfs: &Sysfs, claim: &Claim) -> Option<String> {
    if claim.iommu_group.is_none() || claim.state != State::Attached {
        return None;
    }
    let problem = vfio::problem(sysfs, claim)?;
    Some(format!("{problem}; run `runvfctl gc`, which stops its container"))
}

/// Since when the network namespace that is the owner has no process. It keeps its VF as long as it
/// exists.
fn idle_netns(claim: &Claim) -> Option<String> {
    if claim.state != State::Attached {
        return None;
    }
    let since = claim.idle_since.as_ref()?;
    let is_idle = processes_in(claim.netns).is_ok_and(|processes| processes.is_empty());
    let container = &claim.container;
    is_idle.then(|| {
        format!(
            "no process runs in its network namespace since {since}; `runvfctl release {container}` \
             takes the VF back"
        )
    })
}

/// The status of a PF that is known only from the claim of its VF.
fn unlisted_pf(pf: String, name: String, vf: VfStatus) -> PfStatus {
    PfStatus {
        pf,
        name,
        driver: None,
        up: false,
        carrier: false,
        frames: None,
        discards: None,
        master: None,
        total: 0,
        vfs: vec![vf],
    }
}

/// The status of a VF that is known only from its claim.
fn unlisted_claim(claim: Claim, sysfs: &Sysfs) -> VfStatus {
    let (state, reason) = claim.state.parts();
    let exists = sysfs.exists(&claim.vf);
    let why = match sysfs.pf_netdev(&claim.pf) {
        _ if !exists => "the VF vanished",
        Err(NoPfNetdev::OtherNetns) => "its PF is not in the host's network namespace",
        Err(NoPfNetdev::Several(_)) => "its PF has several netdevs",
        _ => "its PF has no netdev",
    };
    VfStatus {
        vf: claim.vf.clone(),
        index: claim.index,
        state,
        reason: reason.or_else(|| Some(why.to_owned())),
        vanished: !exists,
        driver: sysfs.driver(&claim.vf),
        netdev: None,
        settings: Settings::default(),
        frames: None,
        drops: None,
        carrier: None,
        sockets: None,
        blind: None,
        idle: false,
        claim: Some(claim),
        bad_claim: None,
    }
}

impl State {
    /// The name of the state, and the reason that is recorded with it.
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
    use std::path::Path;

    use super::*;
    use crate::kernel::carrier::CarrierCounts;
    use crate::kernel::netlink::Flags;
    use crate::kernel::process::{ProcessId, boot_id_with_root};
    use crate::ledger::claim::Gap;
    use crate::ledger::claim::tests::claim;

    const BEFORE: CarrierCounts = CarrierCounts { changes: 1, downs: 0 };

    /// A claim with this process as its container.
    fn attached() -> Claim {
        let own = ProcessId::own().unwrap();
        let boot_id = boot_id_with_root(Path::new("/")).unwrap();
        let (state, carrier) = (State::Attached, Some(BEFORE));
        Claim { state, init: Some(own), boot_id, carrier, ..claim("0000:01:10.0", "n") }
    }

    fn link(promiscuity: u32, carrier_counts: CarrierCounts) -> Link {
        let flags = Flags { up: true, ..Flags::default() };
        Link { flags, promiscuity, carrier_counts, ..Link::default() }
    }

    #[test]
    fn an_attached_vf_is_blind_by_its_open_gap_or_by_what_its_interface_shows() {
        let reset = CarrierCounts { changes: 3, downs: 1 };
        let (claim, well) = (attached(), link(1, BEFORE));
        let blindness = |claim: &Claim, forgets, link: Option<&Link>| {
            SightOfPf { forgets, off: None }.blindness(claim, link)
        };
        assert_eq!(blindness(&claim, true, Some(&well)), None);
        assert_eq!(blindness(&claim, true, None), None, "it was not found");
        assert!(blindness(&claim, true, Some(&link(1, reset))).is_some());
        assert_eq!(blindness(&claim, false, Some(&link(1, reset))), None);
        assert!(blindness(&claim, false, Some(&link(0, BEFORE))).is_some());
        let gap = |until| Some(Gap { since: String::new(), until, reason: "r".to_owned() });
        let open = Claim { gap: gap(None), ..claim.clone() };
        assert_eq!(blindness(&open, true, Some(&well)).as_deref(), Some("r"));
        let ended = Claim { gap: gap(Some(String::new())), ..claim.clone() };
        assert_eq!(blindness(&ended, true, Some(&well)), None);
        let lost = Claim { state: State::Lost { reason: String::new() }, ..open };
        assert_eq!(blindness(&lost, true, Some(&well)), None, "its state says more");
    }

    #[test]
    fn the_reason_of_an_attached_vf_is_its_worst_problem() {
        let claim = attached();
        let found = |settings: &Settings, blind, is_missing| {
            pending_gc(&claim, Some(settings), blind, is_missing).unwrap_or_default()
        };
        let other = Settings { vlan: claim.want.vlan + 1, ..claim.want };
        assert!(found(&other, Some("b"), true).starts_with("changed outside runvf: "));
        assert!(found(&claim.want, Some("b"), true).contains("not be promiscuous: b;"));
        assert!(found(&claim.want, None, true).contains("is not in the network namespace"));
        assert_eq!(found(&claim.want, None, false), "");
        let dead = Claim { boot_id: "another".to_owned(), ..claim.clone() };
        let exited = pending_gc(&dead, None, None, true).unwrap();
        assert!(exited.contains("its container has exited"), "{exited}");
    }

    #[test]
    fn status_writes_nothing_to_the_host() {
        let root = tempfile::tempdir().unwrap();
        assert!(status(&Host::with_root(root.path())).unwrap().is_empty());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
