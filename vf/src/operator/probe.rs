//! `runvfctl probe`: tests whether a card delivers the frames that a sensor needs. Free VFs send
//! marked frames to each other.
//!
//! An attach can only read back the settings that the PF reports. Some cards and drivers report a
//! VF as trusted or promiscuous although it receives only frames for its own address. Without a
//! cable, only the card's switch between VFs of one PF can be tested, and the probe tests this
//! switch. The evidence is which frames arrive. A missing frame counts only if a later frame arrives.
//!
//! The VFs are claimed as for a container ([`testbed`]). A killed probe therefore leaves claims
//! with a dead worker, which the next attach or `runvfctl gc` releases. [`exchange`] sends and
//! counts the frames; [`verdict`] evaluates the counts.

mod cause;
mod evidence;
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
use crate::lifecycle::outcome::Released;
use crate::lifecycle::reconcile::reconcile;
use crate::nic::pf::{Pf, pci_named};
use crate::nic::promisc::{Facts, find_obstacle};
use crate::operator::error::OperatorError;
use crate::policy::config::Config;
use crate::policy::config::Pool;

/// The result of a probe.
#[derive(Debug, Serialize)]
pub struct Probe {
    pub pf: String,
    pub pool: String,
    pub driver: String,
    pub vlan: u16,
    pub other: u16,
    /// The number of frames that were sent in each flow.
    pub frames: u16,
    pub vfs: Vec<ProbeVf>,
    pub findings: Vec<Finding>,
    /// The results of the releases at the end.
    #[serde(skip)]
    pub released: Vec<Released>,
}

/// Tests a PF with two to five of its free VFs. Afterwards the VFs are scrubbed and free again.
///
/// It takes seconds, and at most a minute plus the time that the drivers need to bind. Broadcast
/// frames and frames to unknown addresses also leave the card through its port, tagged with the two
/// VLANs. Their EtherType is the IEEE one for experiments.
///
/// # Errors
/// Before any change: the errors of [`Config::load`], [`OperatorError::UnknownPf`],
/// [`OperatorError::NoPool`], [`NicError::PfDown`], [`OperatorError::TooFewFree`],
/// [`OperatorError::SameVlan`], [`OperatorError::NoSpareVlan`], [`LedgerError::Audit`]. Later any
/// other error, and [`OperatorError::Stopped`]; the VFs are released in this case as well.
pub fn probe(host: &Host, options: &ProbeOptions, watch: Watch<'_>) -> Result<Probe, Error> {
    let config = Config::load(host)?;
    let sysfs = Sysfs(host.sysfs.clone());
    let (pf, pool) = find_pf(&sysfs, &config, &options.pf)?;
    if let (Some(vlan), Some(other)) = (options.vlan, options.other)
        && vlan == other
    {
        return Err(Error::Operator(OperatorError::SameVlan { vlan }));
    }
    audit::check_writable(host)?;
    // Abandoned claims are released first, because their VFs can then take part.
    reconcile(host)?;
    let mut testbed = Testbed::new(host, pf, pool)?;
    let evidence = testbed.run(&config, options, watch);
    let pf = testbed.pf.clone();
    let (vfs, Vlans { vlan, other }) = (testbed.vfs(), testbed.vlans);
    (watch.progress)("releasing the VFs");
    let released = testbed.release();
    let evidence = evidence.inspect_err(|_| warn_about_unclean(&released, watch))?;
    let netlink = Netlink::open()?;
    let promisc = netlink.link(pf.ifindex)?.is_some_and(|link| link.flags.promisc);
    let pf_facts = Facts::read(&sysfs, &pf.pci, promisc)?;
    let obstacle = find_obstacle(&pf.name, &pf_facts);
    let findings = verdict::evaluate(&evidence, pf_facts.driver.as_deref(), obstacle.as_ref());
    let driver = pf_facts.driver.unwrap_or_else(|| "none".to_owned());
    let (pf, pool, frames) = (pf.name, pool.name.clone(), exchange::FRAMES);
    Ok(Probe { pf, pool, driver, vlan, other, frames, vfs, findings, released })
}

/// Finds the PF and its pool.
fn find_pf<'a>(sysfs: &Sysfs, config: &'a Config, name: &str) -> Result<(Pf, &'a Pool), Error> {
    let unknown = || Error::Operator(OperatorError::UnknownPf { pf: name.to_owned() });
    let pci = pci_named(sysfs, name)?.filter(|pci| sysfs.exists(pci)).ok_or_else(unknown)?;
    let pooled = config.pools.iter().flat_map(|pool| pool.pfs.iter().map(move |pf| (pf, pool)));
    for (pf, pool) in pooled.clone() {
        if pci_named(sysfs, pf)?.as_ref() == Some(&pci) {
            return Ok((Pf::find(sysfs, pf, pool)?, pool));
        }
    }
    let pooled = pooled.map(|(pf, _)| pf.as_str()).collect::<Vec<_>>().join(", ");
    Err(Error::Operator(OperatorError::NoPool { pf: name.to_owned(), pooled }))
}

/// Reports VFs that are not clean, because a failed probe has no other report.
fn warn_about_unclean(released: &[Released], watch: Watch<'_>) {
    for vf in released {
        if let (outcome, Some(reason)) = vf.outcome.parts() {
            (watch.warn)(&format!("{} {outcome}: {reason}", vf.vf));
        }
    }
}
