//! What is watched: the claims, and for each of them the process that keeps it and its netdev.
//!
//! A claim that the processes in a network namespace keep (see [`Keeper::Netns`]) is watched by one of
//! them at a time. The socket of a netdev keeps its namespace alive, so it is open only while such a
//! process is watched. Without a process there is no sensor that could be blind.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vf::{Claim, Keeper, ProcessId, State as ClaimState, VfEvents};

use crate::events::{VfChange, VfEvent, netdev, process};

/// Between two searches for a process in a network namespace without one. An engine asks for the VF
/// before it starts the container.
const SEARCH_INTERVAL: Duration = Duration::from_secs(2);

/// A task that ends with this value, so that its descriptors are closed.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The netdev of an attached VF.
#[derive(Debug)]
enum Netdev {
    /// Not watched.
    None,
    /// Its socket is being opened.
    Opening,
    Watched(Task),
}

/// The search for a process that keeps a claim with [`Keeper::Netns`].
#[derive(Debug, PartialEq, Eq)]
enum Search {
    /// Not needed: a process is watched, or the record names the keeper.
    None,
    Due(Instant),
    Running,
}

#[derive(Debug)]
struct Watched {
    claim: Claim,
    /// Tells the events of this watch from the events of an earlier one.
    number: u64,
    keeper: Option<(ProcessId, Task)>,
    search: Search,
    /// The keeper has ended, so the claim is abandoned, unless its network namespace lives on.
    is_abandoned: bool,
    netdev: Netdev,
}

impl Watched {
    fn new(claim: Claim, number: u64) -> Self {
        let (keeper, search, netdev) = (None, Search::None, Netdev::None);
        Self { claim, number, keeper, search, is_abandoned: false, netdev }
    }

    /// Whether a task watches the keeper. A task that has ended watches nothing, even if its report
    /// still waits.
    fn has_keeper(&self) -> bool {
        self.keeper.as_ref().is_some_and(|(_, task)| !task.0.is_finished())
    }

    /// No process runs in the network namespace that keeps the claim.
    fn is_idle(&self) -> bool {
        self.is_abandoned && self.claim.keeper() == Some(Keeper::Netns)
    }

    /// A VF that a program drives by vfio-pci has no netdev. The host tells of its driver.
    fn is_netdev_watched(&self) -> bool {
        let is_watched = matches!(&self.netdev, Netdev::Watched(task) if !task.0.is_finished());
        is_watched || self.claim.iommu_group.is_some()
    }

    /// Opens the netdev of an attached VF, if it is not open.
    fn open(&mut self) -> Update {
        match self.netdev {
            Netdev::None if self.claim.iommu_group.is_none() => {
                self.netdev = Netdev::Opening;
                Update::Open(self.number)
            }
            _ => Update::None,
        }
    }
}

/// By the PCI address of the VF.
#[derive(Debug)]
pub(crate) struct Watches {
    watched: BTreeMap<String, Watched>,
    reports: mpsc::Sender<VfEvent>,
    last_number: u64,
    /// This process.
    own: Option<ProcessId>,
}

/// What a new record of a claim asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// Nothing.
    None,
    /// The netdev's socket must be opened, for the watch with this number.
    Open(u64),
    /// Another process works on the claim: looks at the VF would only wait for it.
    Leave,
    /// The VF must be looked at: its container may have ended, or a container has begun to use it.
    Look,
}

impl Watches {
    pub(crate) fn new(reports: mpsc::Sender<VfEvent>) -> Self {
        Self { watched: BTreeMap::new(), reports, last_number: 0, own: ProcessId::own() }
    }

    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.watched.values().map(|watched| &watched.claim)
    }

    /// The claim of a VF that may be looked at: its container has it, or has lost it, or the process
    /// that worked on it has ended, or this process has to finish its release.
    pub(crate) fn to_look_at(&self, vf: &str) -> Option<&Claim> {
        let watched = self.watched.get(vf)?;
        let is_settled =
            matches!(watched.claim.state, ClaimState::Attached | ClaimState::Lost { .. });
        let is_open = is_settled || watched.is_abandoned || self.is_own_release(&watched.claim);
        is_open.then_some(&watched.claim)
    }

    /// Whether this process releases the VF. If it does not get the PF's lock again, the release is
    /// tried again.
    fn is_own_release(&self, claim: &Claim) -> bool {
        claim.state == ClaimState::Releasing && Some(claim.worker) == self.own
    }

    pub(crate) fn is_current(&self, event: &VfEvent) -> bool {
        self.watched.get(&event.vf).is_some_and(|watched| watched.number == event.watch)
    }

    /// The VFs with a watched netdev and a watched keeper, or with nothing to watch.
    pub(crate) fn complete(&self) -> BTreeSet<String> {
        let is_complete = |(_, watched): &(&String, &Watched)| {
            watched.is_idle() || watched.is_netdev_watched() && watched.has_keeper()
        };
        self.watched.iter().filter(is_complete).map(|(vf, _)| vf.clone()).collect()
    }

    pub(crate) fn forget(&mut self, vf: &str) {
        self.watched.remove(vf);
    }

    /// Takes a record of a claim, which may be new.
    pub(crate) fn update(&mut self, claim: Claim, now: Instant) -> Update {
        let number = self.last_number + 1;
        let is_same = self.watched.get(&claim.vf).is_some_and(|old| old.claim.nonce == claim.nonce);
        if !is_same {
            self.last_number = number;
            self.watched.insert(claim.vf.clone(), Watched::new(claim.clone(), number));
        }
        let is_own = self.is_own_release(&claim);
        let Some(watched) = self.watched.get_mut(&claim.vf) else { return Update::None };
        match claim.keeper() {
            Some(Keeper::Netns) => {
                let was_by_netns = is_same && watched.claim.keeper() == Some(Keeper::Netns);
                keep_by_netns(watched, was_by_netns, now);
            }
            Some(Keeper::Process(process)) => keep_by(watched, Some(process), &self.reports),
            None => keep_by(watched, None, &self.reports),
        }
        let is_attached = claim.state == ClaimState::Attached;
        let is_settled = is_attached || is_own || matches!(claim.state, ClaimState::Lost { .. });
        let is_by_netns = claim.keeper() == Some(Keeper::Netns);
        watched.claim = claim;
        if !is_attached || watched.is_abandoned {
            // Dropped, because its socket keeps the network namespace alive.
            watched.netdev = Netdev::None;
            return if is_settled || watched.is_abandoned { Update::None } else { Update::Leave };
        }
        // The search for a process comes first.
        if is_by_netns && watched.keeper.is_none() {
            return Update::None;
        }
        watched.open()
    }

    /// Takes a claim with [`Keeper::Netns`] whose search is due, and the number of its watch.
    pub(crate) fn take_search(&mut self, now: Instant) -> Option<(Claim, u64)> {
        let is_due =
            |watched: &&mut Watched| matches!(watched.search, Search::Due(at) if at <= now);
        let watched = self.watched.values_mut().find(is_due)?;
        watched.search = Search::Running;
        Some((watched.claim.clone(), watched.number))
    }

    /// When [`Watches::take_search`] has something at the earliest.
    pub(crate) fn next_search(&self) -> Option<Instant> {
        let due = |watched: &Watched| match watched.search {
            Search::Due(at) => Some(at),
            Search::None | Search::Running => None,
        };
        self.watched.values().filter_map(due).min()
    }

    /// A search has ended. `found`: the process that keeps the claim now.
    pub(crate) fn searched(
        &mut self,
        vf: &str,
        number: u64,
        found: Option<ProcessId>,
        now: Instant,
    ) -> Vec<Update> {
        let is_meant = |it: &&mut Watched| it.number == number && it.search == Search::Running;
        let Some(watched) = self.watched.get_mut(vf).filter(is_meant) else { return Vec::new() };
        let Some(process) = found else {
            watched.search = Search::Due(now + SEARCH_INTERVAL);
            watched.keeper = None;
            // The socket is closed, because it keeps the network namespace alive.
            watched.netdev = Netdev::None;
            let was_abandoned = std::mem::replace(&mut watched.is_abandoned, true);
            return if was_abandoned { Vec::new() } else { vec![Update::Look] };
        };
        (watched.search, watched.is_abandoned) = (Search::None, false);
        watched.keeper =
            Some((process, watch_keeper(process, vf.to_owned(), number, self.reports.clone())));
        let mut updates = Vec::new();
        if watched.claim.state == ClaimState::Attached {
            updates.push(watched.open());
            // A look clears it.
            if watched.claim.idle_since.is_some() {
                updates.push(Update::Look);
            }
        }
        updates
    }

    /// A search has failed, which says nothing about the processes. The next one begins `at` a time.
    /// Returns whether the search was still needed.
    pub(crate) fn search_failed(&mut self, vf: &str, number: u64, at: Instant) -> bool {
        let is_meant = |it: &&mut Watched| it.number == number && it.search == Search::Running;
        let Some(watched) = self.watched.get_mut(vf).filter(is_meant) else { return false };
        watched.search = Search::Due(at);
        true
    }

    /// Begins to report the changes of a netdev. `None`: the watch is over.
    pub(crate) fn opened(&mut self, vf: &str, number: u64, events: VfEvents) -> Option<&Claim> {
        let watched = self.watched.get_mut(vf).filter(|watched| watched.number == number)?;
        if !matches!(watched.netdev, Netdev::Opening) {
            return None;
        }
        let watch = netdev::watch(events, vf.to_owned(), number, self.reports.clone());
        watched.netdev = Netdev::Watched(Task(tokio::spawn(watch)));
        Some(&watched.claim)
    }

    /// The netdev is not watched any more, or could not be.
    pub(crate) fn closed(&mut self, vf: &str, number: u64) {
        if let Some(watched) = self.watched.get_mut(vf).filter(|it| it.number == number) {
            watched.netdev = Netdev::None;
        }
    }

    /// A keeper of a claim has ended. Returns whether the claim is abandoned: the process may not be
    /// the keeper any more, because a release has begun, or other processes may keep the claim.
    pub(crate) fn abandoned(&mut self, vf: &str, process: ProcessId, now: Instant) -> bool {
        let Some(watched) = self.watched.get_mut(vf) else { return false };
        let is_keeper = watched.keeper.as_ref().is_some_and(|(keeper, _)| *keeper == process);
        if is_keeper && watched.claim.keeper() == Some(Keeper::Netns) {
            (watched.keeper, watched.search) = (None, Search::Due(now));
            return false;
        }
        if is_keeper {
            // The socket is closed, because it keeps the network namespace alive.
            (watched.is_abandoned, watched.netdev) = (true, Netdev::None);
        }
        is_keeper
    }
}

/// Watches the process that the record names.
fn keep_by(watched: &mut Watched, keeper: Option<ProcessId>, reports: &mpsc::Sender<VfEvent>) {
    watched.search = Search::None;
    // A task that ended without a report of the keeper's end could not watch it.
    let is_watched = watched.is_abandoned || watched.has_keeper();
    let watched_now = watched.keeper.as_ref().filter(|_| is_watched);
    if watched_now.map(|(process, _)| *process) == keeper {
        return;
    }
    watched.is_abandoned = false;
    let (vf, number) = (watched.claim.vf.clone(), watched.number);
    let watch = |process| (process, watch_keeper(process, vf, number, reports.clone()));
    watched.keeper = keeper.map(watch);
}

/// Asks for a search, unless a process in the network namespace is watched or searched.
fn keep_by_netns(watched: &mut Watched, was_by_netns: bool, now: Instant) {
    if !was_by_netns {
        (watched.keeper, watched.is_abandoned, watched.search) = (None, false, Search::None);
    }
    if !watched.has_keeper() {
        watched.keeper = None;
        if watched.search == Search::None {
            watched.search = Search::Due(now);
        }
    }
}

fn watch_keeper(
    process: ProcessId,
    vf: String,
    watch: u64,
    reports: mpsc::Sender<VfEvent>,
) -> Task {
    Task(tokio::spawn(async move {
        let what = match process::ended(process).await {
            Ok(()) => VfChange::KeeperEnded { process },
            Err(error) => VfChange::Unwatched { why: no_pidfd(process, &error) },
        };
        // An error means that the monitor ends.
        let _ = reports.send(VfEvent { vf, watch, what }).await;
    }))
}

fn no_pidfd(process: ProcessId, error: &io::Error) -> String {
    format!("cannot watch process {}: {error}", process.pid)
}

#[cfg(test)]
mod tests;
