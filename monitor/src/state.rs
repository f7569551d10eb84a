//! What the event loop and the server share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use vf::{Host, PfLink};

#[derive(Debug)]
pub(crate) struct State {
    /// Where claims, sysfs, configuration and audit log are.
    pub(crate) host: Host,
    pub(crate) health: Health,
    /// The links of the PFs with claims, by PCI address, as of the last event.
    pfs: Mutex<BTreeMap<String, PfLink>>,
    /// The attached VFs that the monitor gets the events of, by PCI address.
    watched: Mutex<BTreeSet<String>>,
    /// The PFs with VFs that are looked at now, and since when, by PCI address. A look that does not
    /// end leaves its PF here, so that metrics and alerts tell of a hang in the kernel.
    looks: Mutex<BTreeMap<String, Instant>>,
    /// Rises after each look at a VF that found or changed something, and after each change of
    /// the claims. The server waits for it instead of polling.
    changes: watch::Sender<u64>,
}

/// The monitor's own health, as its metrics show it. All are totals since its start.
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
    /// Changes of VLAN, trust or link state by another tool that were set back.
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
}

impl State {
    pub(crate) fn new(host: Host) -> Self {
        Self {
            host,
            health: Health::default(),
            pfs: Mutex::default(),
            watched: Mutex::default(),
            looks: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// The names of the PFs with claims that are down or have no carrier.
    pub(crate) fn pfs_without_carrier(&self) -> Vec<String> {
        let pfs = locked(&self.pfs);
        let is_dark = |pf: &&PfLink| !(pf.up && pf.carrier);
        pfs.values().filter(is_dark).map(|pf| pf.name.clone()).collect()
    }

    /// `None`: the PF has no netdev.
    pub(crate) fn set_pf(&self, pci: &str, link: Option<PfLink>) {
        let mut pfs = locked(&self.pfs);
        match link {
            Some(link) => pfs.insert(pci.to_owned(), link),
            None => pfs.remove(pci),
        };
    }

    pub(crate) fn set_watched(&self, vfs: BTreeSet<String>) {
        *locked(&self.watched) = vfs;
    }

    pub(crate) fn watched(&self) -> BTreeSet<String> {
        locked(&self.watched).clone()
    }

    /// A look at VFs of this PF begins. It waits for a thread at first.
    pub(crate) fn look_begins(&self, pf: &str) {
        locked(&self.looks).insert(pf.to_owned(), Instant::now());
    }

    pub(crate) fn look_ended(&self, pf: &str) {
        locked(&self.looks).remove(pf);
    }

    /// How long the oldest look takes that has not ended. Zero: there is none.
    pub(crate) fn oldest_look(&self) -> Duration {
        let oldest = locked(&self.looks).values().min().copied();
        oldest.map_or(Duration::ZERO, |began| began.elapsed())
    }

    pub(crate) fn has_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// A panic while the lock was held cannot leave a value half-written: each change is one call.
fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
