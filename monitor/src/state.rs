//! What the event loop and the server share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use vf::{Host, PfLink};

#[derive(Debug)]
pub(crate) struct State {
    /// Where claims, sysfs, configuration and audit log are.
    pub(crate) host: Host,
    pub(crate) health: Health,
    /// The links of the PFs with claims, by PCI address, as of the last event.
    pfs: Mutex<BTreeMap<String, PfLink>>,
    /// Rises after each look at a VF that found or changed something, and after each change of
    /// the claims. The server waits for it instead of polling.
    changes: watch::Sender<u64>,
}

/// The monitor's own health, as its metrics show it. All are totals since its start, except
/// `watched`.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Events that the kernel sent, of all sources.
    pub(crate) events: Counter,
    /// How often the kernel dropped events. A look at everything follows.
    pub(crate) overruns: Counter,
    /// Looks at one VF.
    pub(crate) looks: Counter,
    /// Looks at all VFs.
    pub(crate) full_looks: Counter,
    /// VFs that were re-armed.
    pub(crate) rearmed: Counter,
    /// Changes of VLAN or trust by another tool that were set back.
    pub(crate) set_back: Counter,
    /// VFs that were lost.
    pub(crate) lost: Counter,
    /// Looks at a VF that may be blind and could not be re-armed then.
    pub(crate) blind: Counter,
    /// VFs that could not be cleaned.
    pub(crate) quarantined: Counter,
    /// VFs of dead containers that were released.
    pub(crate) released: Counter,
    /// Looks that failed.
    pub(crate) errors: Counter,
    /// Attached VFs that are watched now.
    pub(crate) watched: Counter,
}

impl State {
    pub(crate) fn new(host: Host) -> Self {
        Self {
            host,
            health: Health::default(),
            pfs: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// The names of the PFs with claims that are down or have no carrier.
    pub(crate) fn pfs_without_carrier(&self) -> Vec<String> {
        let pfs = self.pfs.lock().unwrap_or_else(PoisonError::into_inner);
        let is_dark = |pf: &&PfLink| !(pf.up && pf.carrier);
        pfs.values().filter(is_dark).map(|pf| pf.name.clone()).collect()
    }

    /// `None`: the PF has no netdev.
    pub(crate) fn set_pf(&self, pci: &str, link: Option<PfLink>) {
        let mut pfs = self.pfs.lock().unwrap_or_else(PoisonError::into_inner);
        match link {
            Some(link) => pfs.insert(pci.to_owned(), link),
            None => pfs.remove(pci),
        };
    }

    pub(crate) fn has_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
