//! Whether a card does what runvf needs of it, tried out: VFs that nobody has send marked frames to each other.
//!
//! A PF's word on its VFs is all that an attach can read back. Some cards and drivers say "trusted" or "promiscuous" of a VF that sees
//! nothing. What can be known without a wire is what the card's own switch does between VFs of one PF, and that is known here: by
//! frames that arrive, and by frames that do not although one that was sent after them does.
//!
//! The VFs are claimed as for a container ([`testbed`]), so whoever kills a probe leaves claims of a dead worker, which the next attach or
//! `gc` takes back. [`exchange`] sends and counts, [`verdict`] says what follows from that.

mod exchange;
mod frame;
#[cfg(test)]
mod in_a_netns;
mod options;
mod testbed;
mod topology;
mod verdict;

use serde::Serialize;

pub use self::options::{ProbeOptions, ProbeVf, Watch};
pub use self::verdict::{Finding, Verdict};

use self::testbed::Testbed;
use self::topology::Vlans;
use crate::error::Error;
use crate::host::Host;
use crate::kernel::netlink::Netlink;
use crate::kernel::sysfs::Sysfs;
use crate::ledger::audit;
use crate::lifecycle::reconcile::reconcile;
use crate::lifecycle::release::Released;
use crate::nic::pf::{Pf, pci_named};
use crate::nic::promisc::{Facts, obstacle};
use crate::operator::error::OperatorError;
use crate::policy::config::Config;
use crate::policy::config::Pool;

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Probe {
    pub pf: String,
    pub pool: String,
    pub driver: String,
    pub vlan: u16,
    pub other: u16,
    /// How many frames of each kind were sent.
    pub frames: u16,
    pub vfs: Vec<ProbeVf>,
    pub findings: Vec<Finding>,
    /// What became of the VFs afterwards.
    #[serde(skip)]
    pub released: Vec<Released>,
}

/// Tries out a PF with two to five of its free VFs, which are clean and free again afterwards.
///
/// It takes seconds, and a minute at most but for what drivers may take to bind. Frames for everybody leave the card by its wire as
/// well, tagged with the two VLANs; their EtherType is IEEE's for experiments.
///
/// # Errors
/// Before anything is touched: the configuration's, [`OperatorError::UnknownPf`], [`OperatorError::NoPool`], [`NicError::PfDown`], [`OperatorError::TooFewFree`],
/// [`OperatorError::SameVlan`], [`OperatorError::NoSpareVlan`], [`LedgerError::Audit`]. Afterwards any other, and [`OperatorError::Stopped`]; the VFs have been given
/// back then, too.
pub fn probe(host: &Host, options: &ProbeOptions, watch: Watch<'_>) -> Result<Probe, Error> {
    let config = Config::load(host)?;
    let sysfs = Sysfs(host.sysfs.clone());
    let (pf, pool) = find(&sysfs, &config, &options.pf)?;
    if let (Some(vlan), Some(other)) = (options.vlan, options.other)
        && vlan == other
    {
        return Err(Error::Operator(OperatorError::SameVlan { vlan }));
    }
    audit::expect_record(host)?;
    // Claims of the dead hold VFs that could take part.
    reconcile(host)?;
    let mut testbed = Testbed::new(host, pf, pool)?;
    let facts = testbed.run(&config, options, watch);
    let pf = testbed.pf.clone();
    let (vfs, Vlans { vlan, other }) = (testbed.vfs(), testbed.vlans);
    (watch.tell)("giving the VFs back");
    let released = testbed.give_back();
    let facts = facts.inspect_err(|_| complain(&released, watch))?;
    let netlink = Netlink::open()?;
    let promisc = netlink.link(pf.ifindex)?.is_some_and(|link| link.flags.promisc);
    let known = Facts::of(&sysfs, &pf.pci, promisc)?;
    let obstacle = obstacle(&pf.name, &known);
    let findings = verdict::evaluate(&facts, known.driver.as_deref(), obstacle.as_ref());
    let driver = known.driver.unwrap_or_else(|| "none".to_owned());
    let (pf, pool, frames) = (pf.name, pool.name.clone(), exchange::FRAMES);
    Ok(Probe { pf, pool, driver, vlan, other, frames, vfs, findings, released })
}

/// The PF, and the pool that it is in.
fn find<'a>(sysfs: &Sysfs, config: &'a Config, named: &str) -> Result<(Pf, &'a Pool), Error> {
    let unknown = || Error::Operator(OperatorError::UnknownPf { pf: named.to_owned() });
    let pci = pci_named(sysfs, named)?.filter(|pci| sysfs.exists(pci)).ok_or_else(unknown)?;
    let pooled = config.pools.iter().flat_map(|pool| pool.pfs.iter().map(move |pf| (pf, pool)));
    for (pf, pool) in pooled.clone() {
        if pci_named(sysfs, pf)?.as_ref() == Some(&pci) {
            return Ok((Pf::find(sysfs, pf, pool)?, pool));
        }
    }
    let pooled = pooled.map(|(pf, _)| pf.as_str()).collect::<Vec<_>>().join(", ");
    Err(Error::Operator(OperatorError::NoPool { pf: named.to_owned(), pooled }))
}

fn complain(released: &[Released], watch: Watch<'_>) {
    for one in released {
        if let (what, Some(why)) = one.outcome.parts() {
            (watch.warn)(&format!("{} {what}: {why}", one.vf));
        }
    }
}
